/** A message in memory, on its way through the inbox and the dispatcher. */
import { RobsonError } from "./errors.ts";
import { shardOf, threadKey } from "./shards.ts";
import type { NewMessage, StoredMessage } from "./store.ts";

export interface InboxEntry {
  /** The lane: its thread, its run, or its thread's control commands. No two lanes have one key, whatever their kinds. */
  key: string;
  shard: number;
  message: StoredMessage;
  /** False when it turned out not to be ours to handle: a duplicate, or not stored. */
  stored: Promise<boolean>;
  /** Whether the attempt that comes next has been counted by the commit that stored the message. */
  isCounted: boolean;
  /** A command about the loop: handled beside its thread's other messages, in slots of its own. */
  isControl: boolean;
  /** It is answered with this, and not worked on. */
  refusal?: string;
  /** Whether it has waited as long as one that was interrupted has to. */
  hasWaited?: boolean;
  /** Who wants it ended. */
  stoppedBy?: string;
  /** Interrupted twice or more: perhaps what stopped the process. Handled alone. */
  isSuspect: boolean;
  /** The turns that its attempt has; see `Turns`. */
  turns?: Set<string> | undefined;
  /** Whether messages of its thread that others stored before it may still be on their way into the lane. */
  mayBeEarly?: boolean;
  /** Whether it has been told, here or elsewhere, that it is accepted; or is about to be. */
  isTold?: boolean;
  /** Left to another process. */
  isForgotten?: boolean;
  /** Handed out as pending while it was worked on: what its run waits for has come, or a person has it tried again. */
  isWoken?: boolean;
}

/** What became of an attempt: the message has ended, comes back later, keeps its lane until `resume`, … */
export type DispatchOutcome =
  | { kind: "ended" }
  | { kind: "retry"; at: number }
  | { kind: "held"; until?: number }
  /** Its run is stored: it goes on in a lane of its own. */
  | { kind: "detached" }
  /** Its run waits for something; it is in memory no more. */
  | { kind: "suspended"; until?: number };

/** How a message begins in memory. */
export function toEntry(
  message: StoredMessage,
  more: Pick<InboxEntry, "stored" | "isControl" | "refusal">,
): InboxEntry {
  const thread = threadKey(message);
  const own = message.run?.isDetached ? runKey(message) : thread;
  // Whoever resumes a lane by its key must not wake another one beside it, which would wait for the first at once.
  const key = more.isControl ? `${own}\0control` : own;
  const isSuspect = message.status === "claimed" && message.interruptions >= 1;
  const entry = { ...more, key, shard: shardOf(thread), message, isCounted: false, isSuspect };
  return message.stoppedBy === null ? entry : { ...entry, stoppedBy: message.stoppedBy };
}

/** The lane of a run; no thread's key has such a form. */
export function runKey({ conversationId }: { conversationId: number }): string {
  return `run ${conversationId}`;
}

/** A message that is about to be stored; its id comes with the commit. */
export function toStored(message: NewMessage): StoredMessage {
  return {
    ...message,
    conversationId: 0,
    status: "pending",
    attempts: 0,
    interruptions: 0,
    nextAttemptAt: null,
    lastError: null,
    stoppedBy: null,
    round: 0,
  };
}

/** A message whose first and only attempt is to say no. */
export function toRefused(message: NewMessage, refusal: string): InboxEntry {
  const stored: StoredMessage = { ...toStored(message), status: "claimed", attempts: 1 };
  const entry = toEntry(stored, { stored: Promise.resolve(true), isControl: true, refusal });
  return { ...entry, isCounted: true };
}

/** What is accepted no more. */
export function stoppingError(): RobsonError {
  return new RobsonError("STOPPING", "Cannot accept a message: this process is stopping", {
    hint: "Send it again in a moment",
  });
}
