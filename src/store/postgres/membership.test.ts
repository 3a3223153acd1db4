/** What becomes of shards when the answer of the database is lost. How a cluster works: core/cluster.test.ts. */
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial } from "node:net";
import { Client } from "pg";
import { expect, type TestContext, test, vi } from "vitest";
import { createDatabase } from "../../testing/postgres/database.ts";
import { startLateNetwork } from "../../testing/postgres/late-network.ts";
import { openStore } from "../open-store.ts";
import { connect, endClient } from "./connection.ts";
import { IN_THIS_DATABASE } from "./session.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

/** Processes on a new database, and a client of another program on it. */
async function openCluster(t: TestContext) {
  const { url } = await createDatabase(t);
  const join = async (owner: string, through = url) => {
    const store = await openStore(through);
    t.onTestFinished(() => store.close());
    return store.own({ owner, gateways: ["a"], now: 0 });
  };
  const other = new Client({ connectionString: url });
  await other.connect();
  t.onTestFinished(() => other.end());
  return { url, join, other };
}

test("shards whose letting go is cut off are not held meanwhile, and are free in the end", async (t) => {
  const { join, other } = await openCluster(t);
  const ownership = await join("first");
  await ownership.retire();
  const keys = ownership.shards().slice(0, 3);
  const [key] = keys;
  if (!key) throw new Error("it holds all shards");
  await other.query("begin; lock table shard_leases in exclusive mode");

  const letGo = ownership.letGo(keys);
  const cutOff = () =>
    other.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query like 'delete from shard_leases%' and wait_event_type = 'Lock'`);
  await vi.waitUntil(async () => {
    await other.query("select pg_stat_clear_snapshot()");
    return (await cutOff()).rowCount;
  }, PATIENTLY);
  expect(ownership.holds(key.gateway, key.shard)).toBe(false);
  await other.query("rollback");
  await letGo;

  expect(ownership.holds(key.gateway, key.shard)).toBe(false);
  const { rows } = await other.query("select count(*)::int4 as count from shard_leases where shard >= 0");
  expect(rows).toEqual([{ count: 2 * 64 - keys.length }]);
});

test("a letting go that the server carries out late frees nothing that was claimed again since", async (t) => {
  const { url } = await createDatabase(t);
  const network = await startLateNetwork(t, { url, late: "delete from shard_leases" });
  const store = await openStore(network.url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const [key] = ownership.shards();
  if (!key) throw new Error("it holds all shards");

  // Tried again over another connection; nobody else is there, so that it is claimed again.
  await ownership.letGo([key]);
  await vi.waitFor(() => expect(ownership.holds(key.gateway, key.shard)).toBe(true), PATIENTLY);
  await network.comesLate();

  const other = new Client({ connectionString: url });
  await other.connect();
  t.onTestFinished(() => other.end());
  const { rows } = await other.query("select count(*)::int4 as count from shard_leases where shard >= 0");
  expect(rows).toEqual([{ count: 2 * 64 }]);
});

test("a shard that is ours by the database's word is held, although the answer to its claim was lost", async (t) => {
  const { join, other } = await openCluster(t);
  const first = await join("first");
  first.onShards(({ wanted }) => {
    if (wanted.length > 0) void first.letGo(wanted);
  });
  const second = await join("second");
  await vi.waitFor(() => expect(second.shards()).toHaveLength(64), PATIENTLY);
  expect(first.shards()).toHaveLength(64);
  await second.retire();
  await second.letGo(second.shards().slice(1));
  await vi.waitFor(() => expect(first.shards()).toHaveLength(127), PATIENTLY);

  // As if its own claim had been carried out, and nobody had told it.
  const update = "update shard_leases set process_id = $1 where process_id = $2";
  await other.query(update, [first.epoch, second.epoch]);
  await other.query("notify robson_members");

  await vi.waitFor(() => expect(first.shards()).toHaveLength(128), PATIENTLY);
});

test("processes that wait for each other's end keep no row from being cleaned up", async (t) => {
  const { join, other } = await openCluster(t);
  await join("first");
  await join("second");
  const count = async (condition: string) => {
    await other.query("select pg_stat_clear_snapshot()");
    const { rows } = await other.query(
      `select from pg_stat_activity where datname = current_database() and ${condition}`,
    );
    return rows.length;
  };
  const waiting = "pid in (select pid from pg_locks where locktype = 'advisory' and not granted)";
  await vi.waitUntil(async () => (await count(waiting)) === 2, PATIENTLY);

  const { rows } = await other.query("select pg_current_xact_id()::text as now");
  const seesOlder = `age(backend_xmin) > age('${rows[0]?.now}'::xid)`;
  await vi.waitUntil(async () => (await count(seesOlder)) === 0, PATIENTLY);

  await vi.waitUntil(async () => (await count(waiting)) === 2, PATIENTLY);
});

test("a process that froze in the middle of a transaction is taken over from, like any other that froze", async (t) => {
  const { url } = await createDatabase(t);
  const store = await openStore(url);
  t.onTestFinished(() => store.close());
  const other = new Client({ connectionString: url });
  await other.connect();
  t.onTestFinished(() => other.end());
  await other.query(`insert into processes (name, host, pid, workers, gateway_ids, joined_at, expires_at)
    values ('frozen', 'elsewhere', 1, '', '{}', 0, now() - interval '1 minute')`);
  await other.query(`insert into shard_leases (gateway_id, shard, process_id, acquired_at)
    select 0, 1, id, 0 from processes`);

  // As a write of a run begins, in several statements; nothing comes behind this one.
  const frozen = await connect(url, { timeoutMs: 2000 });
  t.onTestFinished(() => endClient(frozen));
  await frozen.query("begin; select from processes for key share");
  const next = await store.own({ owner: "next", gateways: [], now: 0, leaseMs: 2000 });

  await expect.poll(() => next.holds(null, 1)).toBe(true);
});

test("on a server of an age that does not know every setting, processes wait for each other's end too", async (t) => {
  const { url, join, other } = await openCluster(t);
  const older = await startOlderServer(t, url);
  const waiting = `select from pg_locks where locktype = 'advisory' and not granted and ${IN_THIS_DATABASE}`;

  await join("first", older);
  await join("second", older);

  await vi.waitUntil(async () => (await other.query(waiting)).rowCount === 2, PATIENTLY);
});

/** The server as one from before PostgreSQL 14, which knows no setting of that name. */
async function startOlderServer(t: TestContext, databaseUrl: string): Promise<string> {
  const url = new URL(databaseUrl);
  const { port, hostname } = url;
  const server = createServer((client) => {
    const upstream = dial(Number(port), hostname);
    for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
    const renamed = (chunk: Buffer) =>
      chunk
        .toString("latin1")
        .replaceAll("client_connection_check_interval", "client_connection_check_unknown_");
    client.on("data", (chunk) => upstream.write(renamed(chunk), "latin1"));
    upstream.pipe(client);
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  }).listen(0, "127.0.0.1");
  t.onTestFinished(() => void server.close());
  await once(server, "listening");
  url.port = String((server.address() as AddressInfo).port);
  return url.href;
}
