import { join } from "node:path";
import { Client } from "pg";
import { expect, test } from "vitest";
import { openStore } from "../../store/open-store.ts";
import { aMessage } from "../../testing/builders.ts";
import { createDatabase } from "../../testing/postgres/index.ts";
import { aFolder, robson, startAgentProcess, startRobson } from "../robson-process.fixture.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

test("a database is moved with the counts on stdout, and the agent answers from the new one", async (t) => {
  const { url } = await createDatabase(t);
  const cwd = aFolder();
  await robson(cwd, "send", "/echo before");
  await robson(cwd, "task", "create", "--key", "A-1", "--summary", "Fix the page");

  const { stdout, stderr, exitCode } = await robson(cwd, "db", "move", "sqlite:robson.db", url);

  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^gateways +1\nconversations +1\ninbox +0\nprocess_events +1\n/);
  expect(stdout).toMatch(/^tasks +1$/m);
  expect(stderr).toContain("the same number of rows in every table");
  expect(stderr).toContain("Set database.url to the new one before you start an agent");
  expect((await robson(cwd, "--db", url, "task", "list")).stdout).toContain("A-1");
  expect(await robson(cwd, "--db", url, "send", "/echo after")).toMatchObject({
    stdout: "after\n",
    stderr: "",
  });
  const back = await robson(cwd, "db", "move", url, "sqlite:back.db", "--json");
  expect(JSON.parse(back.stdout)).toMatchObject({
    to: join(cwd, "back.db"),
    tables: expect.arrayContaining([{ table: "conversations", rows: 2 }]),
  });
  expect(back.stdout + back.stderr).not.toContain("password");
}, 180_000);

test("what cannot be moved is refused with what to do, and an exit code", async (t) => {
  const { url } = await createDatabase(t);
  const cwd = aFolder();
  await robson(cwd, "migrate");
  const agent = await startAgentProcess(cwd);

  const beside = await robson(cwd, "db", "move", "robson.db", url);
  agent.child.kill("SIGTERM");
  await agent.finished;
  await robson(cwd, "--db", url, "send", "/echo here");
  const full = await robson(cwd, "db", "move", "robson.db", url);
  const same = await robson(cwd, "db", "move", "robson.db", "other.db");
  const missing = await robson(cwd, "db", "move", "nowhere.db", url);

  expect(beside).toMatchObject({
    exitCode: 3,
    stdout: "",
    stderr: expect.stringMatching(/is working on it/),
  });
  expect(beside.stderr).toContain("hint: Stop that process first");
  expect(full).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("it is not empty") });
  expect(same).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("Cannot move a sqlite database"),
  });
  expect(missing).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("nowhere.db") });
}, 180_000);

test("a move that is killed has moved nothing, and the next one moves everything", async (t) => {
  const { url } = await createDatabase(t);
  const cwd = aFolder();
  const store = await openStore(join(cwd, "robson.db"));
  const count = 20_000;
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      store.insertUnowned(aMessage({ idempotencyKey: `${index}` })),
    ),
  );
  await store.close();
  await (await openStore(url)).close();
  const client = new Client({ connectionString: url });
  await client.connect();
  t.onTestFinished(() => client.end());
  const sizes = async () =>
    (await client.query("select pg_relation_size('conversations')::int4 as size")).rows[0]?.size;
  // It comes as far as to the inbox, and no further, however late it is killed.
  await client.query(`create function wait() returns trigger language plpgsql as $$ begin
      perform pg_advisory_xact_lock_shared(1); return null; end $$;
    create trigger waits before insert on inbox execute function wait();
    select pg_advisory_lock(1)`);

  const moving = startRobson(cwd, ["db", "move", "robson.db", url]);
  await expect.poll(sizes, PATIENTLY).toBeGreaterThan(100_000);
  moving.child.kill("SIGKILL");
  expect((await moving.finished).stdout).toBe("");
  await client.query("select pg_advisory_unlock(1)");
  expect((await client.query("select from conversations")).rowCount).toBe(0);

  const again = await robson(cwd, "db", "move", "robson.db", url);
  expect(again.stdout).toContain(`conversations             ${count}\ninbox                     ${count}\n`);
}, 180_000);
