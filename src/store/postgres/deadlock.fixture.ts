/** For tests: two transactions that wait for each other, of which the server ends the one under test. */
import type { Client } from "pg";
import { vi } from "vitest";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { openOwned } from "./owned.fixture.ts";

/** How long who waits for a lock waits until he looks whether he does in vain: long enough to close the circle. */
const LOOKS_AFTER = "2s";
/** The other one's, so that it is never the one to be ended. */
const OTHER_LOOKS_AFTER = "20s";
/** Whoever waits for a lock that the asking connection holds. */
const BLOCKED_BY_US =
  "select 1 from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))";

export async function openWithDeadlocks(t: TestEnd) {
  const opened = await openOwned(t, `deadlock_timeout = '${LOOKS_AFTER}'`);
  await opened.other.query(`set deadlock_timeout = '${OTHER_LOOKS_AFTER}'`);
  return opened;
}

/** What another transaction locks, and what it locks once the one under test waits for that. */
export interface Crossing {
  holds: string;
  wants: string;
}

/**
 * Resolves with what `act` does while another transaction stands in its way that gets what it wants only when that of
 * `act` is ended: so it was, if this resolves.
 */
export async function crossed<T>(
  other: Client,
  { holds, wants }: Crossing,
  act: () => Promise<T>,
): Promise<T> {
  await other.query("begin");
  await other.query(holds);
  const acted = act();
  acted.catch(() => undefined);
  await isWaitedFor(other);
  await other.query(wants);
  await other.query("commit");
  return acted;
}

/** Resolves when someone waits for what this connection holds. */
export async function isWaitedFor(client: Client, count = 1): Promise<void> {
  const isThere = async () => (await client.query(BLOCKED_BY_US)).rows.length >= count;
  await vi.waitUntil(isThere, { timeout: 20_000, interval: 10 });
}
