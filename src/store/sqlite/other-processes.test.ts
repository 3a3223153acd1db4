import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { type TestEnd, temporaryFolder } from "../../testing/temporary-folder.ts";
import { openStore } from "../open-store.ts";
import { startProcess } from "./processes.fixture.ts";
import { openSqliteStore } from "./store.ts";

const PENDING = { shard: 0, status: "pending", attempts: 0 } as const;
const HELD_MS = 1500;
/** Generous: SQLite itself waits 15 ms at a time, but a busy machine may hold us up. */
const MAX_GAP_MS = HELD_MS / 3;

/** A program that holds the file until it is told to end. */
const HOLDER = `const db = new DatabaseSync(file);
  db.exec("begin immediate");
  say("holds it");
  process.stdin.once("data", () => process.exit(0));`;

async function emptyFile(t: TestEnd): Promise<string> {
  return join(await temporaryFolder(t), "robson.db");
}

test("a program that holds the file for a while delays writes, loses none, and does not stop the event loop", async (t) => {
  const file = await emptyFile(t);
  const store = await openStore(file);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const ids = new Set<number>();
  const acceptWhileHeld = async () => {
    const { child, ended } = await startProcess(file, HOLDER);
    setTimeout(() => child.stdin?.write("end\n"), HELD_MS);
    const watched = watchEventLoop();
    const startedAt = performance.now();
    const accepting = Array.from({ length: 600 }, () =>
      ownership.accept(aMessage({ gateway: "a" }), PENDING),
    );
    for (const { conversationId } of await Promise.all(accepting)) ids.add(conversationId);
    const tookMs = performance.now() - startedAt;
    const longestGapMs = watched.stop();
    await ended;
    return { tookMs, longestGapMs };
  };

  // The machine may be busy with something else: the best of a few counts.
  let best = await acceptWhileHeld();
  let rounds = 1;
  for (; rounds < 5 && best.longestGapMs >= MAX_GAP_MS; rounds += 1) best = await acceptWhileHeld();

  expect(best.tookMs).toBeGreaterThan(100);
  expect(best.longestGapMs).toBeLessThan(MAX_GAP_MS);
  expect(ids.size).toBe(rounds * 600);
  expect(await ownership.openMessages({ after: 0, limit: 5000 })).toHaveLength(rounds * 600);
});

test("a write that waits longer than its limit for another program is refused, and works when that has ended", async (t) => {
  const file = await emptyFile(t);
  const store = await openSqliteStore(file, { migrate: true, maxBusyMs: 60 });
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const other = new DatabaseSync(file);
  t.onTestFinished(() => other.close());
  other.exec("begin immediate");

  const busy = {
    status: "rejected",
    reason: { code: "STORE_BUSY", hint: expect.stringContaining("program") },
  };
  const writes = Array.from({ length: 600 }, () => ownership.accept(aMessage({ gateway: "a" }), PENDING));
  expect(await Promise.allSettled(writes)).toMatchObject(writes.map(() => busy));
  expect(await ownership.openMessages({ after: 0, limit: 9 })).toEqual([]);

  other.exec("rollback");
  await ownership.accept(aMessage({ gateway: "a" }), PENDING);
  expect(await ownership.openMessages({ after: 0, limit: 9 })).toHaveLength(1);
});

test("the database of a process killed as its owner is owned at once, with all that was acknowledged", async (t) => {
  const file = await emptyFile(t);
  const owner = await startProcess(
    file,
    `const store = await openStore(file);
     const ownership = await store.own({ owner: "killed", gateways: ["a"], now: 0 });
     const message = (content) => ({ id: content, gateway: "a", channelId: "C1", threadTs: "", userId: "U1",
       role: "user", content, isAddressed: true, idempotencyKey: content, createdAt: 0 });
     const accept = (content) => ownership.accept(message(content), { shard: 0, status: "claimed", attempts: 1 });
     for (let index = 0; index < 50; index += 1) await accept("acknowledged " + index);
     say("ready");
     for (let index = 0; ; index += 1) await accept("later " + index);`,
  );
  const store = await openStore(file);
  t.onTestFinished(() => store.close());
  expect(await store.currentOwners()).toEqual(["killed"]);

  owner.child.kill("SIGKILL");
  await owner.ended;
  const ownership = await store.own({ owner: "next", gateways: ["a"], now: 1 });

  expect(ownership.epoch).toBe(2);
  const messages = await ownership.openMessages({ after: 0, limit: 100_000 });
  const acknowledged = messages.filter(({ content }) => content.startsWith("acknowledged"));
  expect(acknowledged).toHaveLength(50);
  expect(acknowledged[0]).toMatchObject({ status: "claimed", attempts: 1 });
  const check = new DatabaseSync(file, { readOnly: true });
  t.onTestFinished(() => check.close());
  expect(check.prepare("pragma integrity_check").get()).toEqual({ integrity_check: "ok" });
});

test("processes that open a new file at the same moment all get it, and one of them owns it", async (t) => {
  const file = await emptyFile(t);

  const script = `const store = await openStore(file);
    const outcome = await store.own({ owner: "x", gateways: [], now: 0 }).then(() => "owns", (error) => error.code);
    say(outcome);
    process.stdin.on("data", () => process.exit(0)).resume();`;
  const children = await Promise.all(Array.from({ length: 5 }, () => startProcess(file, script)));

  expect(children.filter(({ child }) => child.exitCode !== null)).toEqual([]);
  for (const { child } of children) child.stdin?.write("end\n");
  await Promise.all(children.map(({ ended }) => ended));
  const store = await openStore(file);
  t.onTestFinished(() => store.close());
  const [lease] = await (await store.sql()).read.selectFrom("leases").select("epoch").execute();
  expect(lease?.epoch).toBe(1);
});

test("a write of another process wakes the owner", async (t) => {
  const file = await emptyFile(t);
  const store = await openStore(file);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const woken = new Promise<void>((resolve) => ownership.onWake(() => resolve()));

  const other = await startProcess(
    file,
    `const store = await openStore(file);
     await store.insertUnowned({ id: "1", gateway: "a", channelId: "C1", threadTs: "", userId: "U1", role: "user",
       content: "hello", isAddressed: true, idempotencyKey: null, createdAt: 0 });
     await store.close();
     say("done");`,
  );
  await Promise.all([woken, other.ended]);

  expect(await ownership.takeUnowned(10)).toMatchObject([{ content: "hello" }]);
});

test("a message whose wake-up cannot be sent is stored and acknowledged all the same", async (t) => {
  const file = await emptyFile(t);
  await mkdir(`${file}.wake`);
  const store = await openStore(file);
  t.onTestFinished(() => store.close());

  const { conversationId } = await store.insertUnowned(aMessage());

  expect(await store.conversation(conversationId)).toMatchObject({ status: "pending" });
});

/** Measures the longest time between two turns of the event loop. */
function watchEventLoop(): { stop(): number } {
  let longestMs = 0;
  let isStopped = false;
  let lastAt = performance.now();
  const turn = () => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - lastAt);
    lastAt = now;
    if (!isStopped) setImmediate(turn);
  };
  setImmediate(turn);
  return {
    stop() {
      isStopped = true;
      return longestMs;
    },
  };
}
