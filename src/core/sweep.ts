/**
 * Looks at the database when another process has written, and now and then in case that was not noticed; and
 * once a minute at what waits for a gateway that nobody runs. Nothing on a message's own way waits for this.
 */
import type { Clock } from "./clock.ts";
import type { Inbox } from "./inbox.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Outbox } from "./outbox.ts";
import type { RunThreads } from "./run-threads.ts";
import type { Ownership, UnregisteredWork, WokenFor } from "./store.ts";
import { isStoreTrouble } from "./store-health.ts";

export interface SweepOptions {
  ownership: Ownership;
  inbox: Inbox;
  outbox: Outbox;
  runThreads: Pick<RunThreads, "rereadIfFailed">;
  clock: Clock;
  limits: Limits;
  log: Logger;
  onBug(error: unknown): void;
}

/** How often what waits for other gateways is looked at, and the open deliveries are read anew. */
const SWEEP_EVERY_MS = 60_000;
/** How often wake-ups may have the open deliveries read anew: the whole of them is read each time. */
const REREAD_EVERY_MS = 1000;

export class Sweep {
  readonly #options: SweepOptions;
  #unregistered: UnregisteredWork[] = [];
  #sweepAt = 0;
  #rereadAt = 0;
  #cancelPoll: (() => void) | undefined;
  #cancelReread: (() => void) | undefined;
  readonly #cancelDue = new Set<() => void>();
  #isWaking = false;
  #isDueAgain = false;
  #isExpiring = false;
  #isExpiryDueAgain = false;
  #isStopped = false;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** What waits for gateways that this process does not run, as it was last seen. */
  get unregistered(): UnregisteredWork[] {
    return this.#unregistered;
  }

  /** Looks now, and from now on. */
  start(): void {
    this.#poll();
  }

  /** Another process has written: a message, or a dead letter that is to be tried again. */
  wake(wokenFor: WokenFor): void {
    void this.#options.inbox.takeUnowned();
    if (wokenFor === "all") this.#rereadSoon();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelPoll?.();
    this.#cancelReread?.();
    for (const cancel of this.#cancelDue) cancel();
  }

  #poll(): void {
    if (this.#isStopped) return;
    const { clock, inbox, outbox, runThreads, limits } = this.#options;
    if (clock.now() >= this.#sweepAt) {
      this.#sweepAt = clock.now() + SWEEP_EVERY_MS;
      outbox.readAgain();
      inbox.rereadIfUncertain();
      runThreads.rereadIfFailed();
      void this.#expire();
    }
    void inbox.takeUnowned();
    void this.#wakeDue();
    this.#cancelPoll = clock.schedule(clock.now() + limits.fallbackPollMs, () => this.#poll());
  }

  /** A run waits until then. What is due before the next look has a timer of its own. */
  runWaits(until: number): void {
    const { clock, limits } = this.#options;
    if (until > clock.now() + limits.fallbackPollMs) return;
    const cancel = clock.schedule(until, () => {
      this.#cancelDue.delete(cancel);
      void this.#wakeDue();
    });
    this.#cancelDue.add(cancel);
  }

  /** One look at a time: where the database is slower than the looks, they must not pile up. */
  async #wakeDue(): Promise<void> {
    this.#isDueAgain = this.#isWaking;
    if (this.#isWaking || this.#isStopped) return;
    const { ownership, inbox, clock, onBug } = this.#options;
    this.#isWaking = true;
    try {
      if ((await ownership.wakeDue(clock.now())) > 0) await inbox.takeUnowned();
    } catch (error) {
      // Tried again at the next look.
      if (!this.#isStopped && !isStoreTrouble(error)) onBug(error);
    } finally {
      this.#isWaking = false;
    }
    if (this.#isDueAgain) void this.#wakeDue();
  }

  #rereadSoon(): void {
    const { clock, outbox } = this.#options;
    if (this.#cancelReread || this.#isStopped) return;
    if (clock.now() >= this.#rereadAt) {
      this.#rereadAt = clock.now() + REREAD_EVERY_MS;
      outbox.readAgain();
      return;
    }
    this.#cancelReread = clock.schedule(this.#rereadAt, () => {
      this.#cancelReread = undefined;
      this.#rereadSoon();
    });
  }

  /** One look at a time, too. */
  async #expire(): Promise<void> {
    this.#isExpiryDueAgain = this.#isExpiring;
    if (this.#isExpiring || this.#isStopped) return;
    const { ownership, clock, limits, log, onBug } = this.#options;
    this.#isExpiring = true;
    try {
      const unregistered = await ownership.expireUnregistered(clock.now() - limits.maxUnregisteredGatewayMs);
      this.#unregistered = unregistered;
      for (const waiting of unregistered)
        log.warn(waiting, "open work waits for a gateway that does not run here");
    } catch (error) {
      // Done at the next look.
      if (!this.#isStopped && !isStoreTrouble(error)) onBug(error);
    } finally {
      this.#isExpiring = false;
    }
    if (this.#isExpiryDueAgain) void this.#expire();
  }
}
