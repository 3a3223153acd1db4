/**
 * Station 5 of a message's way: one attempt to deliver one event through one gateway, then delivered, retry or
 * dead letter. The attempt is counted before the call; a crash in between leaves a claimed delivery, and the
 * next attempt asks the platform first whether it is there.
 */
import { backoffMs } from "./backoff.ts";
import type { HookRegistry, Hooks } from "./hooks.ts";
import { waitAfterInterruption } from "./interruption.ts";
import type { Lane } from "./lanes.ts";
import type { Logger } from "./logger.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import { attemptToSend, type SendOptions, type SendOutcome, toDelivery } from "./send-attempt.ts";
import type { Change, DeliveryChange, NewFailure, StoredDelivery } from "./store.ts";
import { toStorable } from "./text.ts";

export interface DeliverOptions extends SendOptions {
  random: () => number;
  log: Logger;
  hooks: HookRegistry;
  persist(change: Change): Promise<unknown>;
}

/** The delivery's place in its lane. */
export interface Place {
  lane: Pick<Lane, "hasLater" | "isDue">;
  /** The gateway's part is over; what is left is to be stored. */
  onSent(): void;
}

const INTERRUPTED = "The process stopped during this attempt";

/**
 * Resolves with the instant of the next attempt, or with undefined when the delivery has ended. By the clock of that
 * moment: it may have been set back since the instant was stored.
 */
export function deliver(
  entry: OutboxEntry,
  { place, options }: { place: Place; options: DeliverOptions },
): Promise<number | undefined> {
  return new DeliveryAttempt(entry, place, options).run();
}

class DeliveryAttempt {
  readonly #entry: OutboxEntry;
  readonly #delivery: StoredDelivery;
  readonly #place: Place;
  readonly #options: DeliverOptions;

  constructor(entry: OutboxEntry, place: Place, options: DeliverOptions) {
    this.#entry = entry;
    this.#place = place;
    this.#delivery = entry.delivery;
    this.#options = options;
  }

  async run(): Promise<number | undefined> {
    const { clock, signal } = this.#options;
    const { nextRetryAt } = this.#delivery;
    if (this.#isSuperseded()) return this.#supersede();
    // That its lane says it is due counts, should the clock have been set back meanwhile.
    if (nextRetryAt !== null && !this.#place.lane.isDue && nextRetryAt > clock.now()) return nextRetryAt;
    // The loop's time to stop is over: what has not begun keeps its lane, and is left to the next start.
    if (signal.aborted && !this.#entry.isCounted) return Number.POSITIVE_INFINITY;
    if (!this.#entry.isCounted) {
      const waitMs = this.#waitMs();
      if (waitMs > 0) return clock.now() + waitMs;
      if (!(await this.#begin())) return undefined;
    }
    this.#entry.isCounted = false;
    this.#log("debug", "delivery attempt begins");

    const outcome = await attemptToSend(this.#delivery, this.#options);
    this.#place.onSent();
    if (outcome.kind === "delivered") {
      await this.#record({ status: "done", deliveredAt: clock.now(), nextRetryAt: null });
      this.#log("info", "delivered");
      this.#tellEnded({ outcome: "delivered" });
      return undefined;
    }
    return signal.aborted ? this.#handBack() : this.#failed(outcome);
  }

  /** Progress that failed is old news as soon as there is a later event: it closes, and never holds that up. */
  #isSuperseded(): boolean {
    const { kind, lastError } = this.#delivery;
    return kind === "progress" && lastError !== null && this.#place.lane.hasLater();
  }

  /** What was interrupted more than once waits first, and its lane with it. */
  #waitMs(): number {
    const { status, interruptions } = this.#delivery;
    const mustWait = status === "claimed" && !this.#entry.hasWaited;
    this.#entry.hasWaited = true;
    return mustWait ? waitAfterInterruption({ ...this.#options, interruptions }) : 0;
  }

  /** Counts the attempt; one that ended with the process is counted apart. False: there were too many of these. */
  async #begin(): Promise<boolean> {
    const { status, attempts, interruptions } = this.#delivery;
    const wasInterrupted = status === "claimed";
    const begun = {
      status: "claimed",
      attempts: attempts + 1,
      interruptions: interruptions + (wasInterrupted ? 1 : 0),
      nextRetryAt: null,
    } as const;
    if (wasInterrupted && begun.interruptions >= this.#options.limits.maxInterruptions) {
      await this.#giveUp(INTERRUPTED);
      return false;
    }
    await this.#record(begun, wasInterrupted ? this.#failure(INTERRUPTED) : undefined);
    if (wasInterrupted) this.#log("warn", "delivery attempt was interrupted", { attempts });
    return true;
  }

  async #supersede(): Promise<undefined> {
    await this.#record({ status: "done", nextRetryAt: null });
    this.#log("info", "delivery superseded");
    this.#tellEnded({ outcome: "superseded" });
  }

  /**
   * Given up because the loop stops: the platform is asked at the next start. It counts as no failure. Nothing of
   * its lane may pass it: it keeps the lane for as long as the loop lives.
   */
  async #handBack(): Promise<number> {
    const interruptions = this.#delivery.interruptions + 1;
    await this.#record({ status: "pending", interruptions, nextRetryAt: null });
    this.#log("info", "delivery handed back");
    return Number.POSITIVE_INFINITY;
  }

  async #failed(outcome: SendOutcome & { kind: "failed" }): Promise<number | undefined> {
    const { clock, limits } = this.#options;
    const lastError = toStorable(outcome.error);
    this.#delivery.lastError = lastError;
    if (this.#isSuperseded()) return this.#supersede();
    const failures = this.#delivery.attempts - this.#delivery.interruptions;
    if (outcome.retry === "never" || failures >= limits.maxDeliveryAttempts)
      return this.#giveUp(lastError, outcome.more);
    const waitMs = retryWaitMs({ attempts: failures, outcome, options: this.#options });
    const nextRetryAt = clock.now() + waitMs;
    await this.#record({ status: "pending", nextRetryAt, lastError }, this.#failure(lastError, nextRetryAt));
    this.#log("warn", "delivery attempt failed", { nextRetryAt, error: lastError, ...outcome.more });
    return clock.now() + waitMs;
  }

  async #giveUp(lastError: string, more: object = {}): Promise<undefined> {
    await this.#record({ status: "dead", nextRetryAt: null, lastError }, this.#failure(lastError));
    this.#log("error", "delivery dead", { error: lastError, ...more });
    this.#tellEnded({ outcome: "dead", error: lastError });
  }

  #record(change: Partial<DeliveryChange>, failure?: NewFailure): Promise<unknown> {
    Object.assign(this.#delivery, change);
    const delivery = toChange(this.#delivery);
    return this.#options.persist({ shard: this.#entry.shard, delivery, ...(failure && { failure }) });
  }

  #failure(error: string, nextAt: number | null = null): NewFailure {
    return toFailure(this.#delivery, { error, nextAt, failedAt: this.#options.clock.now() });
  }

  #tellEnded(end: Omit<Hooks["delivery.ended"], "delivery">): void {
    const delivery = this.#delivery;
    this.#options.hooks.tell("delivery.ended", () => ({ delivery: toDelivery(delivery), ...end }));
  }

  #log(level: keyof Logger, text: string, more: object = {}): void {
    const { deliveryId, eventId, conversationId, gateway, attempts } = this.#delivery;
    this.#options.log[level]({ deliveryId, eventId, conversationId, gateway, attempts, ...more }, text);
  }
}

interface Failed {
  attempts: number;
  outcome: SendOutcome & { kind: "failed" };
  options: DeliverOptions;
}

function retryWaitMs({ attempts, outcome, options }: Failed): number {
  const { backoffBaseMs: baseMs, maxBackoffMs: maxMs, maxRetryAfterMs } = options.limits;
  const { retryAfterMs } = outcome;
  return backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs, retryAfterMs, random: options.random });
}

function toFailure(
  { conversationId, eventId, gateway, target, attempts }: StoredDelivery,
  of: { error: string; failedAt: number; nextAt: number | null },
): NewFailure {
  return { conversationId, eventId, gateway, target, worker: null, attempt: attempts, ...of };
}

function toChange(delivery: StoredDelivery): DeliveryChange {
  const { eventId, gateway, target, status, attempts, interruptions, nextRetryAt } = delivery;
  const { lastError, deliveredAt, round } = delivery;
  return {
    eventId,
    gateway,
    target,
    status,
    attempts,
    interruptions,
    nextRetryAt,
    lastError,
    deliveredAt,
    round,
  };
}
