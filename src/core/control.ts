/**
 * What a person can see and stop while the loop runs: the open messages that this process holds. Behind
 * `/status` and `/stop`, which are workers with `isControl`, and behind the same commands elsewhere.
 */
import type { Dispatcher } from "./dispatch.ts";
import { RobsonError } from "./errors.ts";
import type { Inbox } from "./inbox.ts";
import type { InboxEntry } from "./inbox-entry.ts";
import type { Routing } from "./routing.ts";
import type { LoopHealth } from "./sensorium-loop.ts";

/** An open message: being handled, waiting for its turn, or for its next attempt. */
export interface OpenMessage {
  conversationId: number;
  gateway: string | null;
  channelId: string;
  threadTs: string;
  userId: string;
  state: "running" | "waiting" | "retrying";
  /** The worker that is at it, or that is asked first. */
  worker: string | undefined;
  attempts: number;
  createdAt: number;
  /** When its attempt began; for `running`. */
  startedAt?: number;
  /** When it is tried again; for `retrying`. */
  nextAttemptAt?: number;
  lastError?: string;
}

export interface LoopControl {
  health(): LoopHealth;
  /** In the order of their acceptance; control commands are left out. */
  openMessages(): OpenMessage[];
  /**
   * Ends a message: a running worker's signal is aborted and its result refused, a waiting one is not begun.
   * The asker is told who stopped it. False when no such message is open here.
   */
  stop(conversationId: number, by: string): boolean;
}

export interface ControlOptions {
  health(): LoopHealth;
  routing: Routing;
  dispatcher(): Dispatcher;
  inbox(): Inbox;
}

export function createControl({ health, routing, dispatcher, inbox }: ControlOptions): LoopControl {
  const describe = ({ message }: InboxEntry): OpenMessage => {
    const { conversationId, gateway, channelId, threadTs, userId, attempts, createdAt, lastError } = message;
    const attempt = dispatcher().attemptAt(conversationId);
    const nextAttemptAt = attempt ? null : message.nextAttemptAt;
    return {
      conversationId,
      ...{ gateway, channelId, threadTs, userId, attempts, createdAt },
      state: attempt ? "running" : nextAttemptAt === null ? "waiting" : "retrying",
      // Only where it is asked for: thousands may be open, and whoever looks wants a few of them.
      get worker() {
        return attempt?.worker ?? routing.match(message.content)[0]?.worker.name;
      },
      ...(attempt ? { startedAt: attempt.startedAt } : {}),
      ...(nextAttemptAt === null ? {} : { nextAttemptAt }),
      ...(lastError === null ? {} : { lastError }),
    };
  };
  return {
    health,
    openMessages: () =>
      inbox()
        .entries()
        .filter(({ isControl }) => !isControl)
        .map(describe),
    stop(conversationId, by) {
      const entry = inbox().entry(conversationId);
      if (!entry || entry.isControl) return false;
      entry.stoppedBy = by;
      const hint = "Send the message again to start over";
      const reason = new RobsonError("WORKER_STOPPED", `Stopped by ${by}`, { hint });
      const attempt = dispatcher().attemptAt(conversationId);
      if (attempt) attempt.end(reason);
      else inbox().hasten(entry);
      return true;
    },
  };
}
