import { Client } from "pg";
import { expect, type TestContext, test, vi } from "vitest";
import type { Ownership } from "../../core/store.ts";
import { aMessage } from "../../testing/builders.ts";
import { createDatabase } from "../../testing/postgres/database.ts";
import { openStore } from "../open-store.ts";
import { createPool, isBehindPooler } from "./connection.ts";
import { IN_THIS_DATABASE } from "./session.ts";
import { startTransactionPooler } from "./transaction-pooler.fixture.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

/** Two processes behind a pooler that gives each transaction another connection, and a client that is not. */
async function openBehindPooler(t: TestContext) {
  const { url } = await createDatabase(t);
  const pooler = await startTransactionPooler(url);
  t.onTestFinished(() => pooler.close());
  const join = async (owner: string): Promise<Ownership> => {
    const store = await openStore(pooler.url);
    t.onTestFinished(() => store.close());
    const ownership = await store.own({ owner, gateways: ["a"], now: 0, leaseMs: 3000 });
    ownership.onShards(({ wanted }) => void ownership.letGo(wanted));
    return ownership;
  };
  const direct = new Client({ connectionString: url });
  await direct.connect();
  t.onTestFinished(() => direct.end());
  return { join, direct };
}

test("behind a pooler that shares connections, processes share the threads out, accept, and take what is theirs", async (t) => {
  const { join, direct } = await openBehindPooler(t);
  const [first, second] = [await join("first"), await join("second")];
  const shards = () => [first, second].map((process) => process.shards().length);
  await expect.poll(shards, PATIENTLY).toEqual([64, 64]);

  const { shard } = first.shards().find(({ gateway }) => gateway === "a") ?? { shard: 0 };
  const placement = { shard, status: "pending", attempts: 0 } as const;
  for (let round = 0; round < 20; round += 1) {
    const message = aMessage({ gateway: "a", idempotencyKey: `${round}` });
    await first.accept(message, placement);
    await second.accept(aMessage({ gateway: "a" }), { ...placement, isForOther: true });
  }

  const taken = await vi.waitUntil(async () => {
    const messages = await first.takeUnowned(100);
    return messages.length > 0 && messages;
  }, PATIENTLY);
  // A lock that is nobody's own tells nothing, and whoever waits for it has one of the connections to himself.
  const waiting = `select from pg_locks where locktype = 'advisory' and not granted and ${IN_THIS_DATABASE}`;
  expect((await direct.query(waiting)).rowCount).toBe(0);
  expect(taken).toHaveLength(20);
  expect(await first.openMessages({ after: 0, limit: 100 })).toHaveLength(40);
});

test("what a pooler does not let through is said with how to set it", async (t) => {
  const { url } = await createDatabase(t);
  const refusedWith = async (refusal: string) => {
    const pooler = await startTransactionPooler(url, { refusal });
    t.onTestFinished(() => pooler.close());
    return openStore(pooler.url).catch((error: unknown) => error);
  };

  expect(await refusedWith("unsupported startup parameter: statement_timeout")).toMatchObject({
    code: "STORE_UNREADABLE",
    hint: expect.stringContaining(
      "ignore_startup_parameters = statement_timeout, idle_in_transaction_session_timeout",
    ),
  });
  expect(await refusedWith("transaction blocks not allowed in statement pooling mode")).toMatchObject({
    code: "STORE_UNREADABLE",
    hint: expect.stringContaining("pool_mode = session"),
  });
});

test("only where there is a pooler it is found, so that statements are planned once without", async (t) => {
  const { url } = await createDatabase(t);
  const pooler = await startTransactionPooler(url);
  t.onTestFinished(() => pooler.close());
  const found = async (location: string) => {
    const pool = createPool(location);
    t.onTestFinished(() => pool.end());
    return isBehindPooler(pool);
  };

  expect(await found(url)).toBe(false);
  expect(await found(pooler.url)).toBe(true);
});
