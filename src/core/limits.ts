/**
 * Every limit of the loop with its default. An error that a limit causes names it, so that its reader finds
 * the line to raise; `robson.toml` sets them under `[limits]`.
 */
import { RobsonError } from "./errors.ts";
import { named } from "./named.ts";
import { misspelt } from "./nearest.ts";

export interface Limits {
  /** The size of one message's or event's text, in bytes of UTF-8. */
  maxContentBytes: number;
  /** The size of a channel id, thread id, user id or idempotency key, in bytes of UTF-8. */
  maxIdBytes: number;
  /** How many messages are handled at once. */
  maxConcurrentMessages: number;
  /** How many control commands (`/stop`, `/status`, `/help`) are handled at once, beside the messages. */
  maxConcurrentControl: number;
  /** How many deliveries of one gateway are under way at once. */
  maxConcurrentSends: number;
  /** How many of them go to one target (a channel, a callback URL), so that one that hangs leaves room. */
  maxConcurrentSendsPerTarget: number;
  /** How many open messages, and how many open deliveries, are held in memory; the rest wait in the database. */
  maxLoaded: number;
  /** How many more of each that wait for their next attempt, or behind others of their thread, are held in memory. */
  maxHeld: number;
  /** How much text all of the messages, and all of the deliveries, in memory may have, in characters. */
  maxLoadedText: number;
  /** How many messages may be open in the database; beyond it new ones are refused, control commands at twice it. */
  maxOpenMessages: number;
  /** How many messages of this process may wait for their commit; beyond it as above. */
  maxWaitingAccepts: number;
  /** How often a worker may fail at a message before it is a dead letter. */
  maxMessageAttempts: number;
  /** How often the process may end while a message is handled before that is a dead letter. */
  maxInterruptions: number;
  /** How often a delivery is tried before it is a dead letter. */
  maxDeliveryAttempts: number;
  /** How many events one message may emit. */
  maxEventsPerMessage: number;
  /** How many runs (long work) are worked on at once; those that wait for something do not count. */
  maxConcurrentRuns: number;
  /** How many steps one run may have. */
  maxStepsPerRun: number;
  /** The size of one step's result as JSON, in bytes of UTF-8. */
  maxStepResultBytes: number;
  /** How many calls of one plugin's hooks may be under way; beyond it they are not made. */
  maxHookCalls: number;
  /** How long a worker may take, where it does not say so itself. */
  workerTimeoutMs: number;
  /** How long a worker may go on after its signal was aborted, before that is reported. */
  workerAbortGraceMs: number;
  /** How long one `send` may take. */
  sendTimeoutMs: number;
  /** How long `stop` waits for work under way before it is handed back. */
  stopGraceMs: number;
  /** The wait before the second attempt, at the most; it doubles with each attempt. */
  backoffBaseMs: number;
  /** The longest wait between two attempts. */
  maxBackoffMs: number;
  /** The longest `Retry-After` of a platform that is obeyed. */
  maxRetryAfterMs: number;
  /** The longest wait before a write that the database could not take is tried again. */
  maxDatabaseBackoffMs: number;
  /** The longest wait before a gateway that ended is started again. */
  maxGatewayBackoffMs: number;
  /** How long a delivery waits for a gateway that this process does not run. */
  maxUnregisteredGatewayMs: number;
  /** How often the database is looked at, in case a wake-up was lost. */
  fallbackPollMs: number;
  /** After how long without a sign of life another process takes over what a process works on (PostgreSQL). */
  leaseMs: number;
  /** How long a shard that another process should have is held up for what is under way in it. */
  handOverMs: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

export const DEFAULT_LIMITS: Limits = {
  maxContentBytes: 256 * 1024,
  maxIdBytes: 1024,
  maxConcurrentMessages: 256,
  maxConcurrentControl: 8,
  maxConcurrentSends: 64,
  maxConcurrentSendsPerTarget: 16,
  maxLoaded: 10_000,
  maxHeld: 100_000,
  maxLoadedText: 64 * 1024 * 1024,
  maxOpenMessages: 100_000,
  maxWaitingAccepts: 4096,
  maxMessageAttempts: 5,
  maxInterruptions: 20,
  maxDeliveryAttempts: 20,
  maxEventsPerMessage: 10_000,
  maxConcurrentRuns: 8,
  maxStepsPerRun: 1000,
  maxStepResultBytes: 256 * 1024,
  maxHookCalls: 1000,
  workerTimeoutMs: 10 * MINUTE_MS,
  workerAbortGraceMs: 7 * SECOND_MS,
  sendTimeoutMs: 30 * SECOND_MS,
  stopGraceMs: 10 * SECOND_MS,
  backoffBaseMs: SECOND_MS,
  maxBackoffMs: HOUR_MS,
  maxRetryAfterMs: 24 * HOUR_MS,
  maxDatabaseBackoffMs: 5 * SECOND_MS,
  maxGatewayBackoffMs: MINUTE_MS,
  maxUnregisteredGatewayMs: 24 * HOUR_MS,
  fallbackPollMs: 5 * SECOND_MS,
  leaseMs: 10 * SECOND_MS,
  handOverMs: 2 * SECOND_MS,
};

/** The limits as they are given, each that is left out with its default. Throws `CONFIG_INVALID` for a slip. */
export function withDefaults(given: Partial<Limits> = {}): Limits {
  const slip = misspelt(given, Object.keys(DEFAULT_LIMITS));
  if (slip) throw invalid(`there is no limit "${slip.written}"`, `Did you mean "${slip.meant}"?`);
  const limits = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(given) as [keyof Limits, unknown][]) {
    if (value === undefined) continue;
    if (typeof value !== "number" || Number.isNaN(value))
      throw invalid(
        `its limit ${name} is ${typeof value === "number" ? value : named(value)}`,
        "Give a number, or leave it out",
      );
    limits[name] = value;
  }
  return limits;
}

function invalid(why: string, hint: string): RobsonError {
  return new RobsonError("CONFIG_INVALID", `Cannot make a loop: ${why}`, { hint });
}
