/**
 * A real PostgreSQL as the world's database, shared by the world's processes. Each has a network of its own: a dead
 * one's is cut for good, by which the server frees its lock, and a frozen one's stands still. What happens inside the
 * server and between its sessions (looks, notifications, who waits for whom) takes real time, in an order of its own.
 */
import pg from "pg";
import { openPostgresStore } from "../../src/store/postgres/store.ts";
import { type PostgresProxy, startPostgresProxy } from "../cluster/postgres-proxy.ts";
import type { Random } from "./random.ts";
import { RealWorld, type RealWorldOptions } from "./real-world.ts";
import { ENDS_TABLE, READINGS, type Rows } from "./rows-view.ts";
import type { Host } from "./scheduler.ts";
import { pause } from "./under-way.ts";
import type { DatabaseView, WorldDatabase } from "./world-database.ts";

const COUNT_ENDS = `${ENDS_TABLE};
  create function sim_count_end() returns trigger language plpgsql as
    $$ begin insert into sim_ends values (old.conversation_id); return null; end $$;
  create trigger sim_done after delete on inbox for each row
    when (old.status in ('pending', 'claimed', 'waiting')) execute function sim_count_end();
  create trigger sim_dead after update on inbox for each row
    when (old.status in ('pending', 'claimed', 'waiting') and new.status in ('done', 'dead'))
    execute function sim_count_end()`;

const LOOK = `select json_build_object(${[
  ...Object.entries(READINGS),
  ["members", "select id from processes"],
  [
    "leases",
    "select l.*, coalesce(g.name, '') as gateway from shard_leases l left join gateways g on g.id = l.gateway_id",
  ],
  ["names", "select id, name from processes"],
  ["epochs", "select last_value from processes_id_seq"],
]
  .map(([name, sql]) => `'${name}', (select coalesce(json_agg(x), '[]'::json) from (${sql}) x)`)
  .join(", ")}) as seen`;

const EMPTY = `truncate conversations, inbox, process_events, process_event_deliveries, failed_attempts, hinted_threads,
  gateways, processes, shard_leases, runs, steps, effects, decisions, run_signals, run_notes, sim_ends restart identity cascade`;

/** How long a process that has died may keep its place, in real time. */
const MAX_DYING_MS = 30_000;
/** The server has to be that old before it is believed that a process is gone, see `judge`. */
const SETTLED_MS = 3500;

/** The database of many runs, one after another. */
export interface PostgresDatabase {
  url: string;
  /** Asks on one connection, one after another. */
  ask(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  close(): Promise<void>;
}

/** Brings an empty database to its tables. */
export async function preparePostgres(url: string): Promise<PostgresDatabase> {
  const store = await openPostgresStore(url, { migrate: true });
  await store.close();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(COUNT_ENDS);
  const { rows } = await client.query(
    "select (extract(epoch from clock_timestamp() - pg_postmaster_start_time()) * 1000)::float8 as ms",
  );
  await pause(Math.max(0, SETTLED_MS - Number(rows[0]?.ms)));
  let last: Promise<unknown> = Promise.resolve();
  return {
    url,
    ask(text, values = []) {
      const asked = last.then(() => client.query(text, values));
      last = asked.catch(() => undefined);
      return asked;
    },
    close: () => client.end(),
  };
}

export async function createPostgresWorld(
  options: RealWorldOptions & { database: PostgresDatabase; random: Random },
): Promise<WorldDatabase> {
  const { database, random, violated } = options;
  const { ask, url } = database;
  await ask(EMPTY);
  const world = new RealWorld(options);
  const proxies = new Map<Host, Promise<PostgresProxy>>();
  const closing = new Set<Promise<unknown>>();
  const dying = new Map<string, number>();
  /** How often what is under way is waited for, when something else could happen. */
  const patience = random.pick([0, 0.5, 1]);

  const look = async (): Promise<DatabaseView> => {
    const { rows } = await ask(LOOK);
    const { seen } = rows[0] as { seen: Seen };
    const names = new Set(seen.names.map(({ name }) => name));
    for (const name of dying.keys()) if (!names.has(name)) dying.delete(name);
    return world.view({
      ...seen,
      members: seen.members.map(({ id }) => id),
      lastEpoch: Number(seen.epochs[0]?.last_value ?? 0),
    });
  };
  const end = async (host: Host) => {
    const store = world.stores.get(host);
    world.stores.delete(host);
    const proxy = await proxies.get(host);
    proxy?.cut();
    await store?.close().catch(() => undefined);
    await proxy?.close();
  };

  return {
    look: (see) => world.underWay.trackLook(look().then(see)),
    open(host) {
      const proxy = startPostgresProxy(url);
      proxies.set(host, proxy);
      return world.open(host, {
        location: url,
        open: async () => openPostgresStore((await proxy).url, { migrate: false }),
        look,
        hasWakes: false,
        cutAtAnswer: async (number) => (await proxy).cutAtAnswer(number),
      });
    },
    died(host) {
      if (world.epochOf(host) !== undefined) dying.set(host.name, performance.now());
      void proxies.get(host)?.then((proxy) => proxy.cut());
      closing.add(end(host));
    },
    froze(host, hasSleptLong) {
      void proxies.get(host)?.then((proxy) => proxy.freeze());
      if (!hasSleptLong) return;
      const expire = `with slept as (update processes set expires_at = now() - interval '1 minute' where id = $1)
        select pg_notify('robson_members', '')`;
      void world.underWay.track(ask(expire, [world.epochOf(host) ?? 0]));
    },
    thawed: (host) => void proxies.get(host)?.then((proxy) => proxy.thaw()),
    loseLock: () => undefined,
    wasExpelled: (epoch) => world.wasExpelled(epoch),
    async settle(isIdle) {
      await world.underWay.looksEnded();
      if (isIdle || random.chance(patience)) await world.underWay.ended();
      if (!isIdle) return;
      // What the sessions tell each other is on its way in real time; a death is known after a third of a second.
      await pause(dying.size > 0 ? 20 : 1);
      if (dying.size > 0) await look();
      for (const [name, since] of dying)
        if (performance.now() - since > MAX_DYING_MS) violated(`${name} has died, and nobody has noticed`);
    },
    async close() {
      for (const host of world.stores.keys()) closing.add(end(host));
      await Promise.all(closing);
    },
  };
}

interface Seen extends Omit<Rows, "members" | "lastEpoch"> {
  members: { id: number }[];
  names: { name: string }[];
  epochs: { last_value: number }[];
}
