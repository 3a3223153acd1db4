/**
 * The processes that share a database, and telling which of them are gone: one whose connection has ended (its
 * advisory lock is free), or one that has given no sign of life for a whole lease (it is frozen). Whoever is gone
 * loses its row in `processes`, and with it the right to write: every batch of writes asks for that row.
 */
import { hostname } from "node:os";
import type { Client, Pool } from "pg";
import { repeating } from "./repeat.ts";
import { IN_THIS_DATABASE, PROCESS_LOCK_CLASS } from "./session.ts";

export interface Peer {
  id: number;
  name: string;
  host: string;
  pid: number;
  /** The fingerprint of its workers. */
  workers: string;
  gateway_ids: number[];
  /** It stops: what it lets go is for the others. */
  is_leaving: number;
  /** Its connection is its own: others may judge it by its lock. */
  has_session: number;
  /** It had a lock, which is free now. */
  lost_lock: boolean;
  /** By the server's clock. */
  is_expired: boolean;
}

/** For how long a process may be without its connection, which it makes anew, before it counts as gone. */
export const RECONNECT_MS = 300;
/** The same, after the server itself has started, or after our own connection was broken too. */
const SETTLE_MS = 3000;

const HAS_LOCK = `exists (select from pg_locks l where l.locktype = 'advisory' and l.classid = ${PROCESS_LOCK_CLASS}
  and l.objid = p.id::text::oid and l.mode = 'ExclusiveLock' and l.granted and l.${IN_THIS_DATABASE})`;

/** All processes that have their row, in the order of their joining. */
export async function readPeers(db: Pool | Client): Promise<Peer[]> {
  const { rows } = await db.query<Peer>(
    `select p.id, p.name, p.host, p.pid, p.workers, p.gateway_ids, p.is_leaving, p.has_session, p.expires_at < now() as is_expired,
       p.has_session = 1 and not ${HAS_LOCK} as lost_lock from processes p order by p.id`,
  );
  return rows;
}

export interface Judging {
  /** For how long we have been in touch with the server without a break. */
  settledMs: number;
  leaseMs: number;
  /** Those that were without their lock `RECONNECT_MS` ago. */
  suspects: ReadonlySet<number>;
}

/** Who of them is gone for certain; who looks like it, and is to be looked at again after `RECONNECT_MS`. */
export async function judge(db: Pool, peers: Peer[], { settledMs, leaseMs, suspects }: Judging) {
  const lost = peers.filter(({ lost_lock }) => lost_lock);
  const expired = peers.filter(({ is_expired }) => is_expired);
  const sureAtOnce = lost.filter(hasEndedHere);
  if (lost.length + expired.length === 0) return { gone: [], suspects: [] };
  const touchMs = Math.min(settledMs, await serverAgeMs(db));
  // After a restart of the server all of them have lost their connections, and will be back.
  const isSettled = touchMs >= SETTLE_MS;
  const gone = [
    ...sureAtOnce,
    ...(isSettled ? lost.filter(({ id }) => suspects.has(id)) : []),
    ...(touchMs >= leaseMs ? expired : []),
  ];
  const goneIds = [...new Set(gone.map(({ id }) => id))];
  return { gone: goneIds, suspects: lost.map(({ id }) => id).filter((id) => !goneIds.includes(id)) };
}

/**
 * Takes the right to write from those of them that are still gone; waits for their writes under way. Resolves
 * with whom it concerned.
 */
export async function endPeers(db: Pool, ids: number[]): Promise<number[]> {
  const end = `delete from processes p where p.id = any ($1::int4[])
    and (p.expires_at < now() or (p.has_session = 1 and not ${HAS_LOCK})) returning p.id`;
  const { rows } = await repeating(() => db.query<{ id: number }>(end, [ids]));
  return rows.map(({ id }) => id);
}

/** A process of this machine that the system does not know any more. */
function hasEndedHere({ host, pid }: Peer): boolean {
  if (host !== hostname()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}

async function serverAgeMs(db: Pool): Promise<number> {
  const { rows } = await db.query<{ ms: number }>(
    "select (extract(epoch from clock_timestamp() - pg_postmaster_start_time()) * 1000)::float8 as ms",
  );
  return Number(rows[0]?.ms);
}
