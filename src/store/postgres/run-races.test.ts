/** A run that begins to wait while it is answered, statement by statement: the order that no test meets by chance. */
import { Client } from "pg";
import { expect, test, vi } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { createDatabase } from "../../testing/postgres/database.ts";
import { openStore } from "../open-store.ts";

const RUN = { worker: "w", version: 1, isDetached: true, lane: null, title: "A run", createdAt: 1, round: 1 };
/** Whoever waits for a lock that the asking connection holds. */
const BLOCKED_BY_US =
  "select 1 from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))";
const BLOCKED =
  "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
const QUESTION = { name: "sure", kind: "question", text: "Sure?", key: null } as const;

test("an answer in the middle of the transaction with which its run waits has the run go on", async (t) => {
  const { url } = await createDatabase(t);
  const store = await openStore(url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), {
    ...{ shard: 0, status: "claimed", attempts: 1 },
  });
  const decisions = [{ ...QUESTION, choices: [], askedAt: 1, dueAt: null }];
  await ownership.record({ shard: 0, run: { conversationId, begin: RUN, decisions } });
  const owner = new Client({ connectionString: url });
  await owner.connect();
  t.onTestFinished(() => owner.end());

  // As the writer does it: the message first, what the run waits for behind it, then the commit.
  await owner.query("begin");
  await owner.query("update inbox set status = 'waiting'");
  const { rows } = await owner.query("select 1 from decisions where answered_at is not null");
  expect(rows).toEqual([]);
  const answered = store.runs.answer(conversationId, { value: "yes", by: "Ann", at: 2 });
  const isThere = async () => {
    const { rows } = await owner.query(`${BLOCKED_BY_US}
      union all select 1 from decisions where answered_at is not null`);
    return rows.length > 0;
  };
  await vi.waitUntil(isThere, { timeout: 20_000 });
  await owner.query("commit");

  expect(await answered).toBe(true);
  expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId }]);
});

test("who answers by a command while someone answers in the thread gets his answer in, and the other is told", async (t) => {
  const { url } = await createDatabase(t);
  const store = await openStore(url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const placed = { shard: 0, status: "claimed", attempts: 1 } as const;
  const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), placed);
  const said = await ownership.accept(aMessage({ gateway: "a" }), placed);
  const decisions = [{ ...QUESTION, choices: [], askedAt: 1, dueAt: null }];
  const message = { conversationId, status: "waiting", ...{ attempts: 0, interruptions: 0 } } as const;
  await ownership.record({
    shard: 0,
    message: { ...message, nextAttemptAt: null, lastError: null },
    run: { conversationId, begin: RUN, decisions },
  });
  const person = new Client({ connectionString: url });
  await person.connect();
  t.onTestFinished(() => person.end());

  // As `answer` does it: the message first, then the decision.
  await person.query("begin");
  await person.query("select 1 from inbox where conversation_id = $1 for update", [conversationId]);
  const answers = { name: "sure", value: "no", by: "Bob", at: 2 };
  const passedOn = {
    conversationId: said.conversationId,
    userId: "U2",
    content: "no",
    createdAt: 2,
    answers,
  };
  const passes = ownership.record({ shard: 0, run: { conversationId, passedOn } });
  passes.catch(() => undefined);
  const isThere = async () => (await person.query(BLOCKED_BY_US)).rows.length > 0;
  await vi.waitUntil(isThere, { timeout: 20_000 });
  await person.query("update decisions set answer = '\"yes\"', answered_by = 'Ann', answered_at = 2");
  await person.query("commit");

  await expect(passes).rejects.toMatchObject({ code: "RUN_INVALID" });
  expect(await store.runs.run(conversationId)).toMatchObject({ decisions: [{ answeredBy: "Ann" }] });
});

test("an event for several runs, told while their time comes, is taken, and so is that it has come", async (t) => {
  const { url } = await createDatabase(t);
  const store = await openStore(url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const begin = async () => {
    const placed = { shard: 0, status: "claimed", attempts: 1 } as const;
    const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), placed);
    await ownership.record({ shard: 0, run: { conversationId, begin: RUN } });
    return conversationId;
  };
  const [older, newer] = [await begin(), await begin()];
  for (const [conversationId, dueAt] of [[newer, 10] as const, [older, 20] as const]) {
    const message = { conversationId, status: "waiting", attempts: 0, interruptions: 0 } as const;
    const event = { ...QUESTION, choices: [], askedAt: 1, kind: "event" as const, key: "ci", dueAt };
    await ownership.record({
      shard: 0,
      message: { ...message, nextAttemptAt: dueAt, lastError: null },
      run: { conversationId, decisions: [event] },
    });
  }
  const person = new Client({ connectionString: url });
  await person.connect();
  t.onTestFinished(() => person.end());

  await person.query("begin");
  await person.query("select 1 from inbox where conversation_id = $1 for update", [older]);
  const told = store.runs.signal("ci", { value: 1, at: 5 });
  await vi.waitUntil(async () => (await blockedCount(person)) === 1, { timeout: 20_000 });
  const woken = ownership.wakeDue(30);
  await vi.waitUntil(async () => (await blockedCount(person)) === 2, { timeout: 20_000 });
  await person.query("commit");

  expect(await Promise.all([told, woken])).toEqual([2, 0]);
});

test("what is taken from others meanwhile does not have a run's commit acknowledged before it is on the disk", async (t) => {
  const { url } = await createDatabase(t);
  const store = await openStore(url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const placed = { shard: 0, status: "claimed", attempts: 1 } as const;
  const { conversationId: held } = await ownership.accept(aMessage({ gateway: "a" }), placed);
  const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), placed);
  await ownership.record({ shard: 0, run: { conversationId, begin: RUN } });
  await store.insertUnowned(aMessage({ gateway: "a" }));
  const [first, second] = [new Client({ connectionString: url }), new Client({ connectionString: url })];
  for (const client of [first, second]) {
    await client.connect();
    t.onTestFinished(() => client.end());
  }
  await first.query(`create table commits (synchronous text);
    create function note_commit() returns trigger language plpgsql as $$ begin
      insert into commits values (current_setting('synchronous_commit')); return null; end $$;
    create constraint trigger noted after insert on steps deferrable initially deferred
      for each row execute function note_commit()`);
  const lockMessage = (client: Client, id: number) =>
    client.query(`begin; select 1 from inbox where conversation_id = ${id} for update`);
  const blocked = async (count: number) =>
    vi.waitUntil(async () => (await blockedCount(first)) === count, { timeout: 20_000 });

  // A batch that is held up, so that the run is written over the connection that mostly is free.
  await lockMessage(first, held);
  await lockMessage(second, conversationId);
  const message = { attempts: 1, interruptions: 0, nextAttemptAt: null, lastError: null } as const;
  const isHeld = ownership.record({
    shard: 0,
    message: { ...message, conversationId: held, status: "claimed" },
  });
  await blocked(1);
  const decisions = Array.from({ length: 20 }, (_, index) => ({
    ...{
      name: `nap ${index}`,
      kind: "sleep" as const,
      text: "",
      choices: [],
      key: null,
      askedAt: 1,
      dueAt: 9,
    },
  }));
  const step = { name: "first", ordinal: 0, begunAt: 1, attempts: 1 };
  const isWritten = ownership.record({
    shard: 1,
    message: { ...message, conversationId, status: "claimed" },
    run: { conversationId, step, decisions },
  });
  await blocked(2);
  const taken = ownership.takeUnowned(10);
  await second.query("commit");

  await isWritten;
  expect(await taken).toHaveLength(1);
  await first.query("commit");
  await isHeld;
  expect((await first.query("select synchronous from commits")).rows).toEqual([{ synchronous: "on" }]);
});

async function blockedCount(client: Client): Promise<number> {
  await client.query("select pg_stat_clear_snapshot()"); // within a transaction the view is remembered
  return (await client.query(BLOCKED)).rows.length;
}
