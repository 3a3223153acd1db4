/**
 * Removes what has ended long ago, in small batches with a rest between them: ended messages with all that belongs to
 * them, and the records beside them. What is open stays, and a dead letter until its own age is over. One process at a
 * time does a round; a batch is one transaction, so that a crash leaves nothing half removed.
 */
import { type Clock, wait } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";

/** What `robson.toml` says under `[retention]`. */
export interface RetentionRules {
  /** For how long ended messages are kept, with their events, deliveries and failed attempts. */
  messageDays: number;
  /** How many messages are kept at the most, counted back from the latest. */
  maxMessages: number;
  /** For how long dead letters are kept, beyond both of these. */
  deadLetterDays: number;
  /** For how long attempts that failed are kept where the message came to a good end. */
  failedAttemptDays: number;
  maxFailedAttempts: number;
  /** For how long it is remembered that a thread had its hint that nothing matched. */
  hintDays: number;
  maxHints: number;
  /** For how long counts of `[access]` are kept. */
  rateCountDays: number;
  maxRateCounts: number;
  /** How many rows of one table (messages: with what belongs to them) one transaction removes. */
  maxBatchRows: number;
  /** How often a round is begun. */
  intervalSeconds: number;
}

export const DEFAULT_RETENTION: RetentionRules = {
  messageDays: 90,
  maxMessages: 10_000_000,
  deadLetterDays: 365,
  failedAttemptDays: 30,
  maxFailedAttempts: 1_000_000,
  hintDays: 90,
  maxHints: 100_000,
  rateCountDays: 2,
  maxRateCounts: 1_000_000,
  maxBatchRows: 100,
  intervalSeconds: 3600,
};

/** The tables, in the order in which a round goes through them. */
export const RETENTION_PARTS = ["messages", "failedAttempts", "hints", "rateCounts"] as const;
export type RetentionPart = (typeof RETENTION_PARTS)[number];

export interface Batch {
  part: RetentionPart;
  /** Names the round; a batch of one that another process has taken over removes nothing. */
  epoch: number;
  now: number;
  /** Older than this is removed. */
  before: number;
  /** Beyond so many the oldest are removed. */
  keep: number;
  /** Of messages: dead letters that are younger stay. */
  deadBefore: number;
  /** Where the batch before left off. */
  after: number;
  limit: number;
}

export interface BatchResult {
  removed: number;
  /** Where the next batch goes on; undefined when the part is done, or the round is another's. */
  next: number | undefined;
}

export interface RetentionStore {
  /** Begins a round and names it, unless one was begun or under way since; undefined then. */
  claim(claim: { now: number; since: number }): Promise<number | undefined>;
  removeBatch(batch: Batch): Promise<BatchResult>;
}

export interface RetentionOptions {
  store: RetentionStore;
  rules: RetentionRules;
  clock: Clock;
  log: Logger;
}

const DAY_MS = 86_400_000;
/** After the start, so that it does not get in the way of what waits. */
const FIRST_ROUND_MS = 60_000;
/** The rest between two batches. */
const REST_MS = 25;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Begins the first round in a minute. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when the batch under way has ended. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error("Retention is stopped"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, rules, log } = this.#options;
    const { signal } = this.#stopped;
    for (let waitMs = FIRST_ROUND_MS; !signal.aborted; waitMs = rules.intervalSeconds * 1000) {
      try {
        await wait(clock, waitMs, signal);
        await this.round();
      } catch (error) {
        if (!signal.aborted)
          log.warn({ error: messageOf(error) }, "retention could not go on; it does later");
      }
    }
  }

  /** One round, unless it is another process's turn. */
  async round(): Promise<void> {
    const { store, clock, rules, log } = this.#options;
    const now = clock.now();
    const epoch = await store.claim({ now, since: now - (rules.intervalSeconds * 1000) / 2 });
    if (epoch === undefined) return;
    const removed: Partial<Record<RetentionPart, number>> = {};
    for (const part of RETENTION_PARTS) removed[part] = await this.#removeOld(part, epoch);
    if (Object.values(removed).some((count) => count > 0)) log.info(removed, "retention removed what is old");
  }

  async #removeOld(part: RetentionPart, epoch: number): Promise<number> {
    const { store, clock, rules } = this.#options;
    const { signal } = this.#stopped;
    const { days, keep } = rulesOf(part, rules);
    let removed = 0;
    for (let after: number | undefined = 0; after !== undefined && !signal.aborted; ) {
      const now = clock.now();
      const result: BatchResult = await store.removeBatch({
        ...{ part, epoch, now, after, keep, limit: rules.maxBatchRows },
        before: now - days * DAY_MS,
        deadBefore: now - rules.deadLetterDays * DAY_MS,
      });
      removed += result.removed;
      after = result.next;
      if (after !== undefined) await wait(clock, REST_MS, signal).catch(() => undefined);
    }
    return removed;
  }
}

function rulesOf(part: RetentionPart, rules: RetentionRules): { days: number; keep: number } {
  if (part === "messages") return { days: rules.messageDays, keep: rules.maxMessages };
  if (part === "failedAttempts") return { days: rules.failedAttemptDays, keep: rules.maxFailedAttempts };
  if (part === "hints") return { days: rules.hintDays, keep: rules.maxHints };
  return { days: rules.rateCountDays, keep: rules.maxRateCounts };
}
