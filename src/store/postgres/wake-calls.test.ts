/** What processes call to each other over PostgreSQL, and who is meant. */
import { Client, Pool } from "pg";
import { expect, test } from "vitest";
import { databaseKinds } from "../../testing/databases.ts";
import { callOf, readCalls, WAKE_CHANNEL, WakeCalls } from "./wake-calls.ts";

const messages = (gatewayId: number, shard: number) => callOf({ gatewayId, shard, isForMessagesAlone: true });
const anything = (gatewayId: number, shard: number) =>
  callOf({ gatewayId, shard, isForMessagesAlone: false });

test("a call wakes whoever holds one of its shards, for messages alone where nothing else waits there", () => {
  const isMine = (gatewayId: number, shard: number) => gatewayId === 1 && shard < 10;
  const read = (...calls: string[]) => readCalls(calls.join(","), isMine);

  expect(read(messages(1, 3))).toBe("messages");
  expect(read(messages(1, 3), anything(1, 4))).toBe("all");
  expect(read(messages(1, 3), anything(1, 10))).toBe("messages");
  expect(read(messages(2, 3), anything(1, 10))).toBeUndefined();
  expect(read("")).toBe("all");
  expect(read("nonsense")).toBeUndefined();
});

test("what is to be said while a call is under way is the next call's, each shard once", async (t) => {
  const connectionString = (await databaseKinds.find(({ name }) => name === "postgres")?.create(t)) ?? "";
  const listener = new Client({ connectionString });
  const pool = new Pool({ connectionString });
  t.onTestFinished(() => Promise.all([listener.end(), pool.end()]).then(() => undefined));
  const heard: string[] = [];
  await listener.connect();
  await listener.query(`listen ${WAKE_CHANNEL}`);
  listener.on("notification", ({ payload = "" }) => heard.push(payload));
  const calls = new WakeCalls(pool);

  calls.call(["1:1"]);
  calls.call(["1:2", "1:3"]);
  calls.call(["1:3"]);
  await calls.close();

  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(["1:1", "1:2,1:3"]);
});

test("a database that cannot be reached costs the call alone", async () => {
  const calls = new WakeCalls(new Pool({ connectionString: "postgres://nobody@127.0.0.1:1/none" }));

  calls.call(["1:1"]);

  await expect(calls.close()).resolves.toBeUndefined();
});
