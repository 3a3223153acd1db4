/**
 * Reads what becomes of a message from the database, event by event, until the message has ended, or waits for the answer
 * of a person. The same whichever process works on it.
 */
import { type Clock, systemClock, wait } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import { openQuestion } from "../core/run-answer.ts";
import type { RunRecords } from "../core/run-store.ts";
import type { EventRecord, Store } from "../core/store.ts";

const POLL_MS = 50;

export interface FollowOptions {
  store: Pick<Store, "conversation" | "events"> & { runs: Pick<RunRecords, "run"> };
  conversationId: number;
  /** Events up to this id are not handed over. Default: all are. */
  afterEvent?: number | undefined;
  /** Aborted with the reason why nobody waits any longer. */
  signal: AbortSignal;
  onEvent(event: EventRecord): void;
  /** Called between two looks, about as often as `POLL_MS` says. */
  onPoll?: () => Promise<void>;
  clock?: Clock;
}

/** How it stands when nobody follows it any further: `asking` is a run that waits for a person's answer. */
export type Followed = "done" | "dead" | "asking";

/** Resolves once each of its events was handed over. */
export async function follow(options: FollowOptions): Promise<Followed> {
  const { store, conversationId, afterEvent = 0, signal, clock = systemClock } = options;
  const seen = new Set<number>();
  // The clock's timers do not keep a process alive, and here is someone who waits.
  const keepAlive = setInterval(() => undefined, 60_000);
  try {
    for (;;) {
      signal.throwIfAborted();
      // Read before the events: what ended the message is stored with its last events.
      const message = await store.conversation(conversationId);
      if (message === undefined) throw gone(conversationId);
      for (const event of await store.events(conversationId)) {
        if (event.id <= afterEvent || seen.has(event.id)) continue;
        seen.add(event.id);
        options.onEvent(event);
      }
      if (message.status === "done" || message.status === "dead") return message.status;
      if (message.status === "waiting" && (await isAsking(options))) return "asking";
      await options.onPoll?.();
      await wait(clock, POLL_MS, signal);
    }
  } finally {
    clearInterval(keepAlive);
  }
}

/** Not of one that sleeps: it goes on by itself. */
async function isAsking({ store, conversationId }: FollowOptions): Promise<boolean> {
  const run = await store.runs.run(conversationId);
  return run !== undefined && openQuestion(run) !== undefined;
}

function gone(conversationId: number): RobsonError {
  return new RobsonError(
    "NOT_FOUND",
    `Cannot follow message ${conversationId}: the database does not have it`,
    {
      hint: "Was the database exchanged meanwhile? Send the message again",
    },
  );
}
