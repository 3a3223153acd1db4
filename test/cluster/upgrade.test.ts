import { Client } from "pg";
import { expect, type TestContext, test } from "vitest";
import { createDatabase } from "../../src/testing/postgres/index.ts";
import { LONG_LEASE_MS, PATIENTLY, startCluster } from "./cluster.ts";
import { nextRelease } from "./next-release.ts";

const WORK = { threads: 40, messagesPerThread: 8 };
const TIMEOUT = { timeout: 120_000 };

/** Every message touches these tables; the defaults are such that one sees who wrote the row. */
const ADDING = `
  await sql\`alter table conversations add column mood text default 'calm'\`.execute(db);
  await sql\`alter table inbox add column urgency integer not null default 7\`.execute(db);
  await sql\`alter table process_event_deliveries add column cost integer not null default 0\`.execute(db);
  await sql\`create table moods (name text primary key)\`.execute(db);
  await sql\`create index conversations_mood on conversations (mood)\`.execute(db);`;

test("while two processes work a newer release adds columns and joins, and all messages are answered once", {
  ...TIMEOUT,
}, async (t) => {
  const { url } = await createDatabase(t);
  const newer = await nextRelease(t, { up: ADDING, isForOlder: true });
  const cluster = await startCluster(t, url, { leaseMs: LONG_LEASE_MS });
  const old = [await cluster.start(), await cluster.start()];

  const members = [...old];
  const posting = cluster.post(members, WORK);
  await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBeGreaterThan(20);
  members.push(await cluster.start({ main: newer.main }));
  await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 3, shards: 64 });
  // One by one, as an upgrade goes: the first old one is replaced while messages come.
  expect(await old[0]?.stop()).toBe(0);
  members.push(await cluster.start({ main: newer.main }));
  await posting;
  await cluster.expectAllAnswered(WORK);

  // Back again: the older release starts on what the newer one has made.
  expect(await old[1]?.stop()).toBe(0);
  const again = await cluster.start();
  await cluster.say(again, "/echo as before");
  await expect
    .poll(() => cluster.receiver.received.map(({ content }) => content), PATIENTLY)
    .toContain("as before");
  const client = await connected(t, url);
  const { rows } = await client.query("select version, oldest_program from robson_schema");
  expect(rows).toEqual([{ version: newer.version, oldest_program: newer.version - 1 }]);
  expect((await client.query("select from conversations where mood is distinct from 'calm'")).rowCount).toBe(
    0,
  );
  expect(members.slice(2).flatMap(({ log }) => log.filter((line) => line.includes("STORE_")))).toEqual([]);
});

test("a release whose migration older ones would not survive waits until they are stopped, and then they are refused", {
  ...TIMEOUT,
}, async (t) => {
  const { url } = await createDatabase(t);
  const up = "await sql`alter table conversations rename column content to words`.execute(db);";
  const newer = await nextRelease(t, { up, isForOlder: false });
  const cluster = await startCluster(t, url, { leaseMs: LONG_LEASE_MS });
  const old = await cluster.start();

  const early = await cluster.start({ main: newer.main });
  expect(await early.exited).toBe(3);
  expect(early.log.join("\n")).toMatch(/while .+ works on it[\s\S]*Stop all older processes first/);
  await cluster.say(old, "/echo undisturbed");
  await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBe(1);
  expect(await old.stop()).toBe(0);

  // It migrates, and ends: its statements do not know the new name, which is this test's doing.
  void cluster.start({ main: newer.main });
  const client = await connected(t, url);
  const version = async () => (await client.query("select version from robson_schema")).rows[0]?.version;
  await expect.poll(version, PATIENTLY).toBe(newer.version);
  const late = await cluster.start();
  expect(await late.exited).toBe(3);
  expect(late.log.join("\n")).toContain(`it would have to know version ${newer.version}`);
  expect(late.log.join("\n")).toContain("Start the newer robson that made it");
  expect((await client.query("select words from conversations")).rowCount).toBe(1);
});

async function connected(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  t.onTestFinished(() => client.end());
  return client;
}
