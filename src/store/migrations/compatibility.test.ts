import { sql } from "kysely";
import { Client } from "pg";
import { describe, expect, test } from "vitest";
import type { Ownership } from "../../core/store.ts";
import { aMessage } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { createDatabase } from "../../testing/postgres/index.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { openStore } from "../open-store.ts";
import type { OpenedStore } from "../opened-store.ts";
import { oldestProgram, pending, thisProgram } from "./compatibility.ts";
import type { Migration } from "./index.ts";
import { addThings, migrateAs, nextRelease, openAs, THIS_VERSION } from "./releases.fixture.ts";
import { shapeOf, whatBreaksOlderPrograms } from "./shape.fixture.ts";

const ADDING = nextRelease({ worksWith: THIS_VERSION, up: addThings });
const CHANGING = nextRelease({
  up: (db) => db.schema.alterTable("task_comments").renameColumn("body", "text").execute(),
});

test("a database takes the oldest program that all its migrations take", () => {
  const step = (version: number, worksWith?: number): Migration => ({
    version,
    name: "step",
    ...(worksWith === undefined ? {} : { worksWith }),
    up: async () => undefined,
  });

  expect(oldestProgram([step(1), step(2, 1), step(3, 1)])).toBe(1);
  expect(oldestProgram([step(1), step(2), step(3, 1)])).toBe(2);
  expect(oldestProgram([step(1), step(2, 1), step(3, 2), step(4, 1)])).toBe(2);
});

test("of several steps one that is not for older programs makes the whole way not for them", () => {
  const program = [...nextRelease({ worksWith: THIS_VERSION, up: addThings })];
  program.push({ version: THIS_VERSION + 2, name: "last", up: async () => undefined });

  expect(pending(program, THIS_VERSION).isBesideOthers).toBe(false);
  expect(pending(program.slice(0, -1), THIS_VERSION).isBesideOthers).toBe(true);
  expect(pending(program, 0).isBesideOthers).toBe(true);
});

describe.each(databaseKinds)("on $name", ({ name, create }) => {
  test("an older program goes on while a newer one adds to its tables, and starts again beside it", async (t) => {
    const location = await create(t);
    const old = await opened(t, openStore(location));
    const owner = await own(old);
    await accept(owner, "before");

    const fresh = await opened(t, openAs(ADDING, location));
    await accept(owner, "after");
    await owner.release();
    const again = await opened(t, openStore(location));
    await accept(await own(again), "at the next start");

    expect(fresh.migrated).toEqual({ from: THIS_VERSION, to: THIS_VERSION + 1 });
    expect(again.migrated).toEqual({ from: THIS_VERSION + 1, to: THIS_VERSION + 1 });
    const rows = sql`select content, mood, urgency from conversations join inbox on conversation_id = id order by id`;
    expect((await rows.execute((await fresh.sql()).read)).rows).toEqual([
      { content: "before", mood: null, urgency: 7 },
      { content: "after", mood: null, urgency: 7 },
      { content: "at the next start", mood: null, urgency: 7 },
    ]);
  });

  test("without migrating, an older program reads what a newer one has added to", async (t) => {
    const location = await create(t);
    await (await openAs(ADDING, location)).close();

    const reader = await opened(t, openStore(location, { migrate: false }));

    expect(reader.migrated.to).toBe(THIS_VERSION + 1);
    expect(await reader.operator.deadLetters({ limit: 10 })).toEqual([]);
  });

  test("a change that older programs would not survive is refused while one works, and made afterwards", async (t) => {
    const location = await create(t);
    const old = await opened(t, openStore(location));
    const owner = await own(old);

    await expect(openAs(CHANGING, location)).rejects.toMatchObject({
      code: "ALREADY_RUNNING",
      message: expect.stringContaining("while first works on it"),
      hint: expect.stringContaining("Stop all older processes first"),
    });
    await accept(owner, "nothing has changed");
    await owner.release();

    expect((await opened(t, openAs(CHANGING, location))).migrated.to).toBe(THIS_VERSION + 1);
  });

  test("after such a change an older program does not start, and one that was about to own does not", async (t) => {
    const location = await create(t);
    const early = await opened(t, openStore(location));
    const changed = await opened(t, openAs(CHANGING, location));

    const refused = {
      code: "STORE_NEWER",
      message: expect.stringContaining(`it would have to know version ${THIS_VERSION + 1}`),
      hint: expect.stringContaining("Start the newer robson"),
    };
    await expect(openStore(location)).rejects.toMatchObject(refused);
    await expect(openStore(location, { migrate: false })).rejects.toMatchObject(refused);
    await expect(own(early)).rejects.toMatchObject(refused);

    expect((await sql`select text from task_comments`.execute((await changed.sql()).read)).rows).toEqual([]);
  });

  test("a migration that fails leaves the database to the older program as it was", async (t) => {
    const location = await create(t);
    const old = await opened(t, openStore(location));
    const before = await migrateAs(thisProgram, { location, look: shapeOf });
    const failing = nextRelease({
      worksWith: THIS_VERSION,
      async up(db) {
        await addThings(db);
        throw new Error("the power went off");
      },
    });

    await expect(openAs(failing, location)).rejects.toThrow("the power went off");

    expect(await migrateAs(thisProgram, { location, look: shapeOf })).toEqual(before);
    await accept(await own(old), "as before");
  });

  test("what says that it works beside older programs only adds", async (t) => {
    for (const { version, worksWith } of [...thisProgram, ...ADDING.slice(-1)]) {
      if (worksWith === undefined) continue;
      const location = await create(t);
      const before = await migrateAs(ADDING.slice(0, worksWith), { location, look: shapeOf });
      const after = await migrateAs(ADDING.slice(0, version), { location, look: shapeOf });
      expect(whatBreaksOlderPrograms(before, after), `migration ${version} on ${name}`).toEqual([]);
    }
  });

  test.for([
    ["alter table inbox rename column attempts to tries", "inbox.attempts is gone"],
    ["drop table hinted_threads", "hinted_threads.thread_key is gone"],
    ["create unique index every_user on conversations (user_id)", "refuses rows that were good"],
    ...(name === "postgres"
      ? [
          [
            "alter table inbox add column urgency integer not null",
            "inbox.urgency is null for older programs",
          ],
          ["alter table inbox alter column attempts type text", "inbox.attempts takes less"],
          ["alter table inbox alter column last_error set not null", "inbox.last_error takes less"],
        ]
      : []),
  ])("the check of that rule finds: %s", async ([change = "", found = ""], t) => {
    const location = await create(t);
    const before = await migrateAs(thisProgram, { location, look: shapeOf });
    const breaking = nextRelease({ up: async (db) => void (await sql.raw(change).execute(db)) });
    const after = await migrateAs(breaking, { location, look: shapeOf });

    expect(whatBreaksOlderPrograms(before, after).join()).toContain(found);
  });
});

test("a migration that waits for a table lets others pass now and then, and is made once the table is free", async (t) => {
  const { url } = await createDatabase(t);
  const old = await opened(t, openStore(url));
  const owner = await own(old);
  const reader = new Client({ connectionString: url });
  await reader.connect();
  t.onTestFinished(() => reader.end());
  await reader.query("begin; select from inbox");

  const migrating = openAs(ADDING, url);
  const waiting = async () =>
    (
      await reader.query(`select from pg_locks where not granted and relation = 'inbox'::regclass
        and database = (select oid from pg_database where datname = current_database())`)
    ).rowCount;
  await expect.poll(waiting, { timeout: 20_000 }).toBe(1);
  await accept(owner, "behind the migration, before the reader's end");
  await reader.query("commit");

  expect((await opened(t, migrating)).migrated.to).toBe(THIS_VERSION + 1);
  await accept(owner, "after both");
});

async function opened(t: TestEnd, opening: Promise<OpenedStore>): Promise<OpenedStore> {
  const store = await opening;
  t.onTestFinished(() => store.close());
  return store;
}

const own = (store: OpenedStore) => store.own({ owner: "first", gateways: ["fake"], now: 1000 });

const accept = (owner: Ownership, content: string) =>
  owner.accept(aMessage({ content }), { shard: 0, status: "pending", attempts: 0 });

// On SQLite other processes would have to: other-processes.test.ts.
test("several programs of two releases that open one PostgreSQL database at once migrate it once", async (t) => {
  const location = (await createDatabase(t)).url;

  const all = await Promise.all([
    ...[1, 2, 3].map(() => opened(t, openAs(ADDING, location))),
    ...[1, 2].map(() => opened(t, openStore(location))),
  ]);

  const steps = all.map(({ migrated: { from, to } }) => to - from);
  expect(steps.reduce((sum, count) => sum + count)).toBe(THIS_VERSION + 1);
});
