/** A run that begins to wait while it is answered, statement by statement: the order that no test meets by chance. */
import { Client } from "pg";
import { expect, test, vi } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { createDatabase } from "../../testing/postgres/database.ts";
import { openStore } from "../open-store.ts";

const RUN = { worker: "w", version: 1, isDetached: true, lane: null, title: "A run", createdAt: 1, round: 1 };
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
    const { rows } = await owner.query(`select 1 from pg_locks where not granted
      union all select 1 from decisions where answered_at is not null`);
    return rows.length > 0;
  };
  await vi.waitUntil(isThere, { timeout: 10_000 });
  await owner.query("commit");

  expect(await answered).toBe(true);
  expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId }]);
});
