import { join } from "node:path";
import { sql } from "kysely";
import { Client } from "pg";
import { describe, expect, test } from "vitest";
import type { Placement } from "../core/store.ts";
import { aMessage, echoWorker } from "../testing/builders.ts";
import { type DatabaseKind, databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { type TestEnd, temporaryFolder } from "../testing/temporary-folder.ts";
import { parseLocation } from "./location.ts";
import { contents, fill } from "./move.fixture.ts";
import { moveDatabase } from "./move.ts";
import { MOVED_TABLES, tablesThatAre } from "./move-side.ts";
import { openStore } from "./open-store.ts";
import type { OpenedStore } from "./opened-store.ts";
import { openPostgresSide } from "./postgres/move-side.ts";
import { openSqliteSide } from "./sqlite/move-side.ts";

const move = (from: string, to: string) => moveDatabase({ from: parseLocation(from), to: parseLocation(to) });

const [sqlite, postgres] = databaseKinds as [DatabaseKind, DatabaseKind];
const WAYS = [
  { from: sqlite, to: postgres, way: "from SQLite to PostgreSQL" },
  { from: postgres, to: sqlite, way: "from PostgreSQL to SQLite" },
];

describe.each(WAYS)("$way", ({ from, to }) => {
  test("every row of every table arrives as it was, and the source stays as it was", async (t) => {
    const [source, target] = [await from.create(t), await to.create(t)];
    const before = await opened(t, source);
    const seed = Date.now() % 1_000_000;
    await fill(before, seed);
    const rows = await contents(before);

    const moved = await move(source, target);

    expect(await contents(await opened(t, target)), `seed ${seed}`).toEqual(rows);
    expect(await contents(before)).toEqual(rows);
    expect(moved.tables.map(({ table }) => table)).toEqual(MOVED_TABLES);
    expect(moved.tables.map(({ rows }) => rows)).toEqual(MOVED_TABLES.map((table) => rows[table]?.length));
  });

  test("moved there and back, nothing has changed", async (t) => {
    const [source, between, back] = [await from.create(t), await to.create(t), await from.create(t)];
    const before = await opened(t, source);
    await fill(before, 4711);

    await move(source, between);
    await move(between, back);

    expect(await contents(await opened(t, back))).toEqual(await contents(before));
  });

  test("open messages are worked on after the move, and new ones get ids behind the old ones", async (t) => {
    const [source, target] = [await from.create(t), await to.create(t)];
    const gateway = fakeGateway();
    const before = await opened(t, source);
    const owner = await before.own({ owner: "first", gateways: [gateway.name], now: 0 });
    const accept = (content: string, placement: Placement) =>
      owner.accept(aMessage({ gateway: gateway.name, content }), placement);
    await accept("/echo waiting", { shard: 0, status: "pending", attempts: 0 });
    await accept("/echo interrupted", { shard: 0, status: "claimed", attempts: 1 });
    await owner.release();

    await move(source, target);
    const loop = await startTestLoop(t, { location: target, gateways: [gateway], workers: [echoWorker] });
    await loop.clock.advance(60_000);
    await loop.idle();
    const { conversationId } = await gateway.say("/echo new");
    await loop.idle();

    expect(gateway.sent.map(({ content }) => content).sort()).toEqual(["interrupted", "new", "waiting"]);
    expect(conversationId).toBe(3);
    const { feed } = loop.store;
    // On PostgreSQL none is shown while an older transaction is open anywhere on the server, in another test's database too.
    const eventIds = async () => {
      const { events } = await feed.eventsAfter(feed.beginning, { filter: {}, limit: 10 });
      return events.map(({ eventId }) => eventId);
    };
    await expect.poll(eventIds).toEqual([1, 2, 3]);
  });

  test("what is not empty is refused and left as it is", async (t) => {
    const [source, target] = [await from.create(t), await to.create(t)];
    await (await openStore(source)).close();
    const there = await opened(t, target);
    await there.insertUnowned(aMessage({ gateway: "fake" }));

    await expect(move(source, target)).rejects.toMatchObject({
      code: "USAGE_INVALID",
      message: expect.stringContaining("rows in gateways (1), conversations (1), inbox (1)"),
    });

    expect((await contents(there)).conversations).toHaveLength(1);
  });

  test("while an agent runs on either nothing is moved", async (t) => {
    const [source, target] = [await from.create(t), await to.create(t)];
    for (const location of [source, target]) {
      await (await openStore(source)).close();
      const store = await openStore(location);
      const owner = await store.own({ owner: "robson on this machine", gateways: [], now: 0 });

      await expect(move(source, target)).rejects.toMatchObject({
        code: "ALREADY_RUNNING",
        message: expect.stringMatching(/robson on this machine (is working|works) on it/),
      });

      await owner.release();
      await store.close();
    }
    expect((await move(source, target)).tables).toHaveLength(MOVED_TABLES.length);
  });

  test("a source that an older program made is left as it is, and the hint says what to do", async (t) => {
    const [source, target] = [await from.create(t), await to.create(t)];
    const store = await openStore(source);
    const older =
      from === sqlite ? sql.raw("pragma user_version = 3") : sql.raw("update robson_schema set version = 3");
    await (await store.sql()).write([older.compile((await store.sql()).read)]).catch(() => undefined);
    await store.close();

    await expect(move(source, target)).rejects.toMatchObject({
      code: "STORE_UNREADABLE",
      hint: "Run `robson migrate` first",
    });
  });
});

test("a row that the target refuses undoes the move, which is run again when it is mended", async (t) => {
  const [source, target] = [await sqlite.create(t), await postgres.create(t)];
  const before = await opened(t, source);
  await fill(before, 2);
  const { read, write: writeTo } = await before.sql();
  const write = (text: string) => writeTo([sql.raw(text).compile(read)]);
  await write("update rate_limits set subject = 'NUL' || char(0) where id = 1");

  await expect(move(source, target)).rejects.toMatchObject({ code: "STORE_REFUSED_ROW" });
  const there = await opened(t, target);
  expect(Object.values(await contents(there)).flat()).toEqual([
    { name: "round", epoch: 0, claimed_at: 0, removed_through: 0 },
  ]);

  await write("update rate_limits set subject = 'mended' where id = 1");
  await move(source, target);
  expect(await contents(there)).toEqual(await contents(before));
});

test("a time limit that a database sets on everyone's statements does not end a move that has to wait", async (t) => {
  const [source, target] = [await sqlite.create(t), await postgres.create(t)];
  for (const location of [source, target]) await (await openStore(location)).close();
  const client = new Client({ connectionString: target });
  await client.connect();
  t.onTestFinished(() => client.end());
  await client.query(`alter database ${new URL(target).pathname.slice(1)} set statement_timeout = '100ms'`);
  await client.query("begin; lock table conversations");

  const moving = move(source, target);
  moving.catch(() => undefined);
  const waiting = `select from pg_locks where clock_timestamp() - waitstart > interval '300 ms'
    and database = (select oid from pg_database where datname = current_database())`;
  await expect.poll(async () => (await client.query(waiting)).rowCount).toBeGreaterThan(0);
  await client.query("commit");

  expect((await moving).tables).toHaveLength(MOVED_TABLES.length);
});

test("between two databases of one kind nothing is moved, and the hint names the tool", async (t) => {
  await expect(move("a.db", "b.db")).rejects.toMatchObject({ code: "USAGE_INVALID" });
  await expect(move("postgres://h/a", "postgres://h/b")).rejects.toMatchObject({
    code: "USAGE_INVALID",
    hint: expect.stringContaining("pg_dump"),
  });
  const missing = join(await temporaryFolder(t), "missing.db");
  await expect(move(missing, "postgres://h/b")).rejects.toMatchObject({
    code: "STORE_UNREADABLE",
    hint: expect.stringContaining("There is no such file"),
  });
});

test("an agent that starts on an SQLite file that is being moved is refused, and what is sent waits", async (t) => {
  const file = await sqlite.create(t);
  const store = await opened(t, file);
  const side = await openSqliteSide(file);

  const sent = store.insertUnowned(aMessage());
  await expect(store.own(AGENT)).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
  expect(await side.count("conversations")).toBe(0);
  await side.close();

  expect(await sent).toMatchObject({ conversationId: 1 });
  expect(await store.own(AGENT)).toMatchObject({ epoch: 1 });
});

test("an agent that starts on a PostgreSQL database that is being moved waits, as what is sent does", async (t) => {
  const url = await postgres.create(t);
  const store = await opened(t, url);
  const side = await openPostgresSide(url);

  const starting = store.own(AGENT);
  const sent = store.insertUnowned(aMessage());
  const waiting = sql<{ count: number }>`select count(distinct pid) from pg_locks where not granted
    and database = (select oid from pg_database where datname = current_database())`;
  const waitingCount = async () => (await waiting.execute((await store.sql()).read)).rows[0]?.count;
  await expect.poll(waitingCount, { timeout: 20_000 }).toBe(2);
  expect(await side.count("conversations")).toBe(0);
  await side.close();

  expect(await sent).toMatchObject({ conversationId: 1 });
  await (await starting).release();
});

const AGENT = { owner: "late", gateways: [], now: 0 };

describe.each(databaseKinds)("on $name", ({ name, create }) => {
  test("every table is either moved or known to stay behind", async (t) => {
    const db = await (await opened(t, await create(t))).sql();
    const tables =
      name === "sqlite"
        ? sql<{ name: string }>`select name from sqlite_master where type = 'table'`
        : sql<{ name: string }>`select tablename as name from pg_tables where schemaname = current_schema()`;
    const { rows } = await tables.execute(db.read);

    const known = [...MOVED_TABLES, ...tablesThatAre("left"), "shard_leases", "robson_schema"];
    expect(rows.map((row) => row.name).filter((table) => !known.includes(table))).toEqual([]);
    expect(rows.map((row) => row.name)).toEqual(expect.arrayContaining([...MOVED_TABLES]));
  });
});

async function opened(t: TestEnd, location: string): Promise<OpenedStore> {
  const store = await openStore(location);
  t.onTestFinished(() => store.close());
  return store;
}
