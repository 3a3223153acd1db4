import { writeFile } from "node:fs/promises";
import { Client } from "pg";
import { expect, type TestContext, test, vi } from "vitest";
import { freePort } from "../src/cli/demo/free-port.ts";
import { openStore } from "../src/store/open-store.ts";
import { aMessage } from "../src/testing/builders.ts";
import { createDatabase, startPostgres } from "../src/testing/postgres/index.ts";
import { refusal, SECRET } from "./bad-databases.fixture.ts";

test.for([
  `postgres://user:${SECRET}@host:port/name`,
  `postgres://user:${SECRET}%zz@host/name`,
  `postgres://user:${SECRET}@[::1/name`,
  `POSTGRESQL://%zz:${SECRET}@host/name`,
  `postgres://user:${SECRET}@host/%zz`,
])("a URL that does not parse is refused without being shown (%#)", async (url) => {
  const error = await refusal(openStore(url));

  expect(error).toMatchObject({ code: "STORE_LOCATION_INVALID", hint: expect.stringContaining("%XX") });
});

test("a location that names neither a file nor PostgreSQL is refused", async () => {
  for (const location of ["", "sqlite:", ":memory:", "mysql://h/d"]) {
    expect(await refusal(openStore(location))).toMatchObject({ code: "STORE_LOCATION_INVALID" });
  }
});

test("a server that is not there is named, with what the connection was refused with", async () => {
  const port = await freePort();

  for (const host of ["127.0.0.1", "localhost"]) {
    const error = await refusal(openStore(`postgres://user:${SECRET}@${host}:${port}/name`));

    expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", hint: expect.stringContaining("server") });
    expect(error.message).toContain(`postgres://user@${host}:${port}/name`);
    expect(error.message).toContain("ECONNREFUSED");
  }
});

test("a database that the server does not have is named", async (t) => {
  const url = new URL((await createDatabase(t)).url);
  url.password = SECRET;
  url.pathname = "/nowhere";

  const error = await refusal(openStore(url.href));

  expect(error).toMatchObject({ code: "STORE_UNREADABLE", hint: expect.stringContaining("createdb") });
  expect(error.message).toContain('"nowhere"');
});

test("a wrong password is refused as such, and is not shown", async (t) => {
  const server = await startPostgres({ isDurable: false, maxConnections: 20 });
  t.onTestFinished(() => server.stop());
  const client = await connect(t, server.url);
  await client.query(`create role asker login password '${SECRET}-right'`);
  const [{ hba_file: rules }] = (await client.query("show hba_file")).rows;
  await writeFile(rules, "host all postgres all trust\nhost all all all scram-sha-256\n");
  await client.query("select pg_reload_conf()");
  const url = new URL(server.url);
  [url.username, url.password] = ["asker", `${SECRET}-wrong`];

  const error = await vi.waitUntil(() => refusal(openStore(url.href)).catch(() => undefined), 20_000);

  expect(error).toMatchObject({ code: "STORE_UNREADABLE", hint: "Check user and password of its URL" });
});

test("a database of a newer program is refused and left as it is", async (t) => {
  const { url } = await createDatabase(t);
  await (await openStore(url)).close();
  const client = await connect(t, url);
  await client.query("update robson_schema set version = 99, oldest_program = 99");

  for (const migrate of [true, false]) {
    const error = await refusal(openStore(url, { migrate }));
    expect(error).toMatchObject({ code: "STORE_NEWER", message: expect.stringContaining("version 99") });
  }

  expect((await client.query("select version from robson_schema")).rows).toEqual([{ version: 99 }]);
});

test("a database in which another program has a table of ours is refused and left as it is", async (t) => {
  const { url } = await createDatabase(t);
  const client = await connect(t, url);
  await client.query("create table tasks (theirs text)");
  const tables = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";

  const error = await refusal(openStore(url));

  expect(error).toMatchObject({ code: "STORE_UNREADABLE", hint: "Give Robson a database of its own" });
  expect(error.message).toContain('"tasks"');
  expect((await client.query(tables)).rows).toEqual([{ relname: "tasks" }]);
});

/** A new database, and the URL of a user who may log in to it. */
async function aGuest(t: TestContext) {
  const { url, name } = await createDatabase(t);
  const client = await connect(t, url);
  const role = `guest_${name}`;
  await client.query(`create role ${role} login`);
  t.onTestFinished(async () => void (await client.query(`drop owned by ${role}; drop role ${role}`)));
  const asGuest = new URL(url);
  asGuest.username = role;
  return { url, client, role, asGuest: asGuest.href };
}

test("a user who may not create tables is told so", async (t) => {
  const { asGuest } = await aGuest(t);

  expect(await refusal(openStore(asGuest))).toMatchObject({
    code: "STORE_READ_ONLY",
    hint: expect.stringContaining("Grant"),
  });
});

test("whoever gets no connection, no schema, no SSL or a read-only database is told what to do", async (t) => {
  const { url, client, role, asGuest } = await aGuest(t);
  const refusalAfter = async (...changes: string[]) => {
    for (const change of changes) await client.query(`alter role ${role} ${change}`);
    return refusal(openStore(asGuest));
  };

  expect(await refusalAfter("connection limit 0")).toMatchObject({
    code: "STORE_UNAVAILABLE",
    hint: expect.stringContaining("max_connections"),
  });
  expect(await refusalAfter("connection limit -1", "set search_path = nowhere")).toMatchObject({
    code: "STORE_READ_ONLY",
    hint: expect.stringContaining("search_path"),
  });
  expect(await refusalAfter("set default_transaction_read_only = on")).toMatchObject({
    code: "STORE_READ_ONLY",
    hint: expect.stringContaining("default_transaction_read_only"),
  });
  expect(await refusal(openStore(`${url}?sslmode=no-verify`))).toMatchObject({
    code: "STORE_UNAVAILABLE",
    hint: expect.stringContaining("sslmode"),
  });
});

test("with however few connections, a process either says so at its start or accepts", async (t) => {
  const { client, role, asGuest } = await aGuest(t);
  await client.query(`grant all on schema public to ${role}`);
  await (await openStore(asGuest)).close();
  let starts = 0;

  for (let limit = 1; limit <= 8; limit += 1) {
    await client.query(`alter role ${role} connection limit ${limit}`);
    const store = await openStore(asGuest);
    try {
      const ownership = await store.own({ owner: `${limit}`, gateways: ["a"], now: 0 });
      starts += 1;
      await ownership.accept(aMessage({ gateway: "a" }), { shard: 0, status: "pending", attempts: 0 });
    } catch (error) {
      expect(error).toMatchObject({
        code: "STORE_UNAVAILABLE",
        hint: expect.stringContaining("max_connections"),
      });
      expect(starts).toBe(0);
    } finally {
      await store.close();
      const gone = `select from pg_stat_activity where usename = '${role}'`;
      await vi.waitUntil(async () => (await client.query(gone)).rowCount === 0, 20_000);
    }
  }
  expect(starts).toBeGreaterThan(0);
});

test("a server that stops while a store is open makes every call fail clearly, and none ends the process", async (t) => {
  const server = await startPostgres({ isDurable: false, maxConnections: 20 });
  t.onTestFinished(() => server.stop());
  const store = await openStore(server.url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const losses = vi.fn();
  ownership.onLost(losses);
  const unreachable = new Promise<unknown>((resolve) =>
    ownership.onReach((error) => error && resolve(error)),
  );

  await server.stop();

  expect(await unreachable).toMatchObject({ code: "STORE_UNAVAILABLE" });
  const calls = {
    record: () =>
      ownership.record({
        shard: 0,
        message: {
          conversationId: 1,
          status: "done",
          attempts: 0,
          interruptions: 0,
          nextAttemptAt: null,
          lastError: null,
        },
      }),
    openMessages: () => ownership.openMessages({ after: 0, limit: 1 }),
    openDeliveries: () => ownership.openDeliveries({ after: 0, limit: 1 }),
    takeUnowned: () => ownership.takeUnowned(1),
    expireUnregistered: () => ownership.expireUnregistered(0),
    own: () => store.own({ owner: "second", gateways: [], now: 0 }),
    currentOwners: () => store.currentOwners(),
    requestStop: () => store.requestStop(1, "Ann"),
    stopRequests: () => ownership.stopRequests(1),
    conversation: () => store.conversation(1),
    events: () => store.events(1),
    deadLetters: () => store.deadLetters({ limit: 1 }),
    tasks: () => store.tasks.list(),
  };
  for (const call of Object.values(calls)) {
    expect(await refusal(call())).toMatchObject({ code: "STORE_UNAVAILABLE" });
  }
  // It is not known to be lost: nobody could have taken it over.
  expect(losses).not.toHaveBeenCalled();
  await ownership.release();
});

async function connect(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  t.onTestFinished(() => client.end());
  return client;
}
