/**
 * How many messages may be open, and wait for their commit, before new ones are refused (`OVERLOADED`). What this
 * process accepts and ends is counted in memory; the database, which knows of other processes too, is counted now
 * and then, and only while messages come. Control commands have as much room again, so that a person gets through.
 */
import type { AdmissionStore } from "./admission-store.ts";
import type { Clock } from "./clock.ts";
import { messageOf, TryLaterError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";

export interface OverloadOptions {
  store: Pick<AdmissionStore, "countOpen">;
  clock: Clock;
  limits: Pick<Limits, "maxOpenMessages" | "maxWaitingAccepts">;
  log: Logger;
}

/** After how long the database is counted anew, at the earliest; sooner while messages are refused. */
const RECOUNT_MS = 5000;
const RECOUNT_WHILE_FULL_MS = 1000;
/** When a refused message is worth another try. */
const RETRY_OPEN_MS = 5000;
const RETRY_WAITING_MS = 1000;
/** How much more room control commands have. */
const CONTROL_FACTOR = 2;
/** The part of each limit that has to be free before it is said that messages are accepted again: at the limit itself, that changes with each of them. */
const FREE_AGAIN = 0.1;

export class Overload {
  readonly #options: OverloadOptions;
  #open = 0;
  #waiting = 0;
  #countAt = Number.NEGATIVE_INFINITY;
  #isCounting = false;
  #isRefusing = false;

  constructor(options: OverloadOptions) {
    this.#options = options;
  }

  /** Makes room for a message that is about to be stored, or throws `OVERLOADED`; tell its end with `stored`. */
  admit({ isControl }: { isControl: boolean }): void {
    const { clock, limits } = this.#options;
    if (clock.now() >= this.#countAt) void this.count();
    const factor = isControl ? CONTROL_FACTOR : 1;
    if (this.#waiting >= limits.maxWaitingAccepts * factor) throw this.#refuse("maxWaitingAccepts");
    if (this.#open + this.#waiting >= limits.maxOpenMessages * factor) throw this.#refuse("maxOpenMessages");
    if (this.#isRefusing && !isControl && this.#hasRoom()) this.#relent();
    this.#waiting += 1;
  }

  /** The message that `admit` made room for is open now, or was not stored as a new one. */
  stored(isOpen: boolean): void {
    this.#waiting -= 1;
    if (isOpen) this.#open += 1;
  }

  /** A message of this process is not open any more. */
  ended(): void {
    this.#open -= 1;
  }

  /** Counts the database. Never rejects: while that fails, the memory's count holds. */
  async count(): Promise<void> {
    if (this.#isCounting) return;
    const { store, clock, limits, log } = this.#options;
    this.#isCounting = true;
    this.#countAt = clock.now() + (this.#isRefusing ? RECOUNT_WHILE_FULL_MS : RECOUNT_MS);
    const before = this.#open;
    try {
      const counted = await store.countOpen(limits.maxOpenMessages * CONTROL_FACTOR);
      // What came while it was counted may not be in it. Counted twice it is put right by the next count; forgotten, more
      // would be let in than there is room for.
      this.#open = counted + Math.max(0, this.#open - before);
    } catch (error) {
      log.debug({ error: messageOf(error) }, "cannot count the open messages");
    } finally {
      this.#isCounting = false;
    }
  }

  get isCounting(): boolean {
    return this.#isCounting;
  }

  #refuse(limit: keyof OverloadOptions["limits"]): TryLaterError {
    const max = this.#options.limits[limit];
    const isOpen = limit === "maxOpenMessages";
    if (!this.#isRefusing) {
      this.#options.log.warn({ limit, max }, "too many messages; new ones are refused for now");
      this.#countAt = Math.min(this.#countAt, this.#options.clock.now() + RECOUNT_WHILE_FULL_MS);
    }
    this.#isRefusing = true;
    const why = isOpen ? "are open" : "wait for their commit";
    const key = isOpen ? "max_open_messages" : "max_waiting_accepts";
    return new TryLaterError("OVERLOADED", `Cannot accept a message: ${limit} (${max}) ${why}`, {
      hint: `Send it again in a while; the limit is limits.${key} in robson.toml`,
      retryAfterMs: isOpen ? RETRY_OPEN_MS : RETRY_WAITING_MS,
    });
  }

  #hasRoom(): boolean {
    const { maxOpenMessages, maxWaitingAccepts } = this.#options.limits;
    const isBelow = (count: number, max: number) => count < max * (1 - FREE_AGAIN);
    return isBelow(this.#open + this.#waiting, maxOpenMessages) && isBelow(this.#waiting, maxWaitingAccepts);
  }

  #relent(): void {
    this.#isRefusing = false;
    this.#options.log.info({}, "messages are accepted again");
  }
}
