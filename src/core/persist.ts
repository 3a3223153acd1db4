/**
 * Writing while the database may be away: a change is tried again, with backoff, until it is stored or refused.
 * Every change can safely be written twice.
 */
import { backoffMs } from "./backoff.ts";
import { type Clock, wait } from "./clock.ts";
import { hasCode, messageOf } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Change, Ownership, StoredEvent } from "./store.ts";
import { isStoreTrouble, type StoreHealth } from "./store-health.ts";

export interface PersistOptions {
  ownership: Ownership;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  storeHealth: StoreHealth;
  /** Called when a former try may have been stored: then not all that was made is known. */
  onRepeated(): void;
  /** Aborted when there is no time left to wait for the database. */
  signal: AbortSignal;
}

/** Resolves with what became of the change's events. Rejects with `LEASE_LOST` or `STORE_REFUSED_ROW`, or with the database's error once the signal is aborted. */
export async function persist(options: PersistOptions, change: Change): Promise<StoredEvent[]> {
  const { ownership, clock, limits, signal, log } = options;
  let isRepeated = false;
  for (let attempts = 1; ; attempts += 1) {
    try {
      const events = await ownership.record(change);
      options.storeHealth.worked();
      if (isRepeated) options.onRepeated();
      return events;
    } catch (error) {
      options.storeHealth.failed(error);
      if (!isStoreTrouble(error) || signal.aborted) throw error;
      if (hasCode(error, "STORE_UNAVAILABLE")) isRepeated = true;
      const { backoffBaseMs: baseMs, maxDatabaseBackoffMs: maxMs } = limits;
      const waitMs = backoffMs({
        attempts,
        baseMs: Math.min(baseMs, 50),
        maxMs,
        maxRetryAfterMs: 0,
        random: options.random,
      });
      log.warn({ attempts, waitMs, error: messageOf(error) }, "database refused a write; trying again");
      await wait(clock, waitMs, signal).catch(() => undefined);
    }
  }
}
