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
export function persist(options: PersistOptions, change: Change): Promise<StoredEvent[]> {
  return options.ownership.record(change).then(
    (events) => {
      options.storeHealth.worked();
      return events;
    },
    (error: unknown) => persistAgain(options, { change, error }),
  );
}

/** Apart from the first try, which nearly always is the only one and is to cost little. */
async function persistAgain(
  options: PersistOptions,
  { change, ...first }: { change: Change; error: unknown },
): Promise<StoredEvent[]> {
  const { ownership, storeHealth, onRepeated } = options;
  let { error } = first;
  let isRepeated = false;
  for (let attempts = 1; ; attempts += 1) {
    storeHealth.failed(error);
    if (hasCode(error, "STORE_UNAVAILABLE")) isRepeated = true;
    await waitToTryAgain(options, { attempts, error });
    try {
      const events = await ownership.record(change);
      storeHealth.worked();
      if (isRepeated) onRepeated();
      return events;
    } catch (cause) {
      error = cause;
    }
  }
}

/** Rejects with the error where no further try can help. */
async function waitToTryAgain(
  { clock, limits, signal, log, random }: PersistOptions,
  { attempts, error }: { attempts: number; error: unknown },
): Promise<void> {
  if (!isStoreTrouble(error) || signal.aborted) throw error;
  const { backoffBaseMs, maxDatabaseBackoffMs: maxMs } = limits;
  const baseMs = Math.min(backoffBaseMs, 50);
  const waitMs = backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs: 0, random });
  // Whatever waits is refused again and again: that the database takes no writes is said once, by `StoreHealth`.
  log.debug({ attempts, waitMs, error: messageOf(error) }, "database refused a write; trying again");
  await wait(clock, waitMs, signal).catch(() => undefined);
}
