import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";

const PATIENTLY = { timeout: 20_000 };

/** A worker that handles one message at a time, each until the test lets it end. */
function oneAtATime() {
  const begun: string[] = [];
  const attempts: number[] = [];
  const ends: (() => void)[] = [];
  let running = 0;
  let mostRunning = 0;
  const worker = aWorker(
    async ({ content }, _args, { attempt, emit }) => {
      begun.push(content);
      attempts.push(attempt);
      running += 1;
      mostRunning = Math.max(mostRunning, running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running -= 1;
      await emit("completed", content);
    },
    { name: "slow", maxConcurrent: 1 },
  );
  return { worker, begun, attempts, mostRunning: () => mostRunning, endOne: () => ends.shift()?.() };
}

describe.each(databaseKinds)("a worker with maxConcurrent on $name", ({ create }) => {
  test("handles what was interrupted often, whatever its name is", async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    const ownership = await store.own({ owner: "first", gateways: ["fake"], now: 0 });
    const placed = { shard: 0, status: "claimed", attempts: 1 } as const;
    const { conversationId } = await ownership.accept(aMessage({ gateway: "fake" }), placed);
    const interrupted = { conversationId, status: "claimed", attempts: 2, interruptions: 1 } as const;
    await ownership.record({ shard: 0, message: { ...interrupted, nextAttemptAt: null, lastError: null } });
    await store.close();

    const gateway = fakeGateway();
    const worker = aWorker(async (_message, _args, { emit }) => emit("completed", "done"), {
      ...{ name: "suspect", maxConcurrent: 1 },
    });
    const { clock } = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });
    const told = async () => {
      await clock.advance(60_000);
      return gateway.texts();
    };
    await expect.poll(told, PATIENTLY).toEqual(["completed: done"]);
  });

  test("handles no more at once; what waits for it holds no slot and counts no attempt", async (t) => {
    const slow = oneAtATime();
    const gateway = fakeGateway();
    const { idle, store } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [slow.worker, echo],
      limits: { maxConcurrentMessages: 2 },
    });
    await idle();

    const ids: number[] = [];
    for (const text of ["a", "b", "c", "d"]) {
      const { conversationId } = await gateway.say(text, { threadTs: text });
      ids.push(conversationId);
    }
    await gateway.say("/echo quick", { threadTs: "other" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: quick"]);
    expect(slow.begun).toEqual(["a"]);
    const waiting = { status: "pending", attempts: 0 };
    await expect.poll(() => store.conversation(ids[1] ?? 0), PATIENTLY).toMatchObject(waiting);

    for (let count = 1; count <= 4; count += 1) {
      await expect.poll(() => slow.begun.length, PATIENTLY).toBe(count);
      slow.endOne();
    }
    await idle();
    expect(slow.begun).toEqual(["a", "b", "c", "d"]);
    expect(slow.mostRunning()).toBe(1);
    expect(slow.attempts).toEqual([1, 1, 1, 1]);
    expect(gateway.sent).toHaveLength(5);
  });
});

test("a message whose turn comes free while it is about to wait is handled all the same", async (t) => {
  const slow = oneAtATime();
  const gateway = fakeGateway();
  const isAboutToWait = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const { idle } = await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [slow.worker],
    interfere: (ownership) => ({
      async record(change) {
        const stored = await ownership.record(change);
        if (change.message?.status !== "pending") return stored;
        isAboutToWait.resolve();
        await goOn.promise;
        return stored;
      },
    }),
  });

  await idle(); // behind, what comes has no attempt counted
  await gateway.say("a", { threadTs: "a" });
  await gateway.say("b", { threadTs: "b" });
  await isAboutToWait.promise;
  slow.endOne();
  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: a"]);
  goOn.resolve();

  await expect.poll(() => slow.begun, PATIENTLY).toEqual(["a", "b"]);
  slow.endOne();
  await idle();
  expect(gateway.texts()).toEqual(["completed: a", "completed: b"]);
});

test("a suspect that waits for another suspect does not keep its worker's turn from the next", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const crashed = await openStore(location);
  const ownership = await crashed.own({ owner: "the crashed one", gateways: ["fake"], now: 0 });
  const at = { shard: 0, status: "pending", attempts: 0 } as const;
  const suspected = { status: "claimed", attempts: 2, interruptions: 1 } as const;
  for (const content of ["first", "suspect", "/hang suspect", "next"]) {
    const { conversationId } = await ownership.accept(aMessage({ content, threadTs: content }), at);
    const message = { conversationId, nextAttemptAt: null, lastError: null, ...suspected };
    if (content.includes("suspect")) await ownership.record({ shard: 0, message });
  }
  await crashed.close();

  const slow = oneAtATime();
  const hangs = aWorker(() => new Promise(() => undefined), { name: "hangs", command: "/hang" });
  const workers = [slow.worker, hangs];
  const { loop, clock } = await startTestLoop(t, { location, gateways: [fakeGateway()], workers });
  await expect.poll(() => loop.health().openMessages, PATIENTLY).toBe(4);
  await clock.advance(1000); // suspects wait before they are begun
  const isHanging = () => loop.control?.openMessages().find(({ worker }) => worker === "hangs")?.state;
  await expect.poll(isHanging, PATIENTLY).toBe("running");
  expect(slow.begun).toEqual(["first"]);
  slow.endOne();

  await expect.poll(() => slow.begun, PATIENTLY).toEqual(["first", "next"]);
  slow.endOne();
});

test("a suspect and a control command that is one, of one thread, do not have each other looked at without end", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const crashed = await openStore(location);
  const ownership = await crashed.own({ owner: "the crashed one", gateways: ["fake"], now: 0 });
  const at = { shard: 0, status: "pending", attempts: 0 } as const;
  const suspected = { status: "claimed", attempts: 2, interruptions: 1 } as const;
  for (const content of ["first", "/hang", "suspect", "/ping"]) {
    const threadTs = content === "/ping" ? "suspect" : content;
    const { conversationId } = await ownership.accept(aMessage({ content, threadTs }), at);
    const message = { conversationId, nextAttemptAt: null, lastError: null, ...suspected };
    if (content !== "first") await ownership.record({ shard: 0, message });
  }
  await crashed.close();

  const slow = oneAtATime();
  const hanging = Promise.withResolvers<void>();
  const hangs = aWorker(() => hanging.promise, { name: "hangs", command: "/hang" });
  const pinged: string[] = [];
  const ping = aWorker(async ({ content }) => void pinged.push(content), {
    ...{ name: "ping", command: "/ping", isControl: true },
  });
  let looks = 0;
  const { loop, clock } = await startInterferedLoop(t, {
    location,
    gateways: [fakeGateway()],
    workers: [slow.worker, hangs, ping],
    interfere: (real) => ({
      holds(gateway, shard) {
        looks += 1;
        if (looks > 10_000) throw new Error("looked at without end");
        return real.holds(gateway, shard);
      },
    }),
  });
  await expect.poll(() => loop.health().openMessages, PATIENTLY).toBe(4);
  await clock.advance(1000); // suspects wait before they are begun
  const isHanging = () => loop.control?.openMessages().find(({ worker }) => worker === "hangs")?.state;
  await expect.poll(isHanging, PATIENTLY).toBe("running");
  hanging.resolve();

  await expect.poll(() => pinged, PATIENTLY).toEqual(["/ping"]);
  expect(looks).toBeLessThan(10_000);
  slow.endOne();
  await expect.poll(() => slow.begun, PATIENTLY).toEqual(["first", "suspect"]);
  slow.endOne();
});

test.for(Array.from({ length: 12 }, (_, turns) => turns))(
  "no suspect is forgotten when another ends just as it begins, seen %i turns late",
  async (turns, t) => {
    const location = `${await temporaryFolder(t)}/robson.db`;
    const crashed = await openStore(location);
    const ownership = await crashed.own({ owner: "the crashed one", gateways: ["fake"], now: 0 });
    const ids: number[] = [];
    for (const content of ["s1", "plain", "s2", "s3"]) {
      const at = { shard: 0, status: "claimed", attempts: 1 } as const;
      const { conversationId } = await ownership.accept(aMessage({ content, threadTs: content }), at);
      ids.push(conversationId);
      const suspected = { status: "claimed", attempts: 2, interruptions: 1 } as const;
      const message = { conversationId, nextAttemptAt: null, lastError: null, ...suspected };
      if (content !== "plain") await ownership.record({ shard: 0, message });
    }
    await crashed.close();

    const handled: string[] = [];
    const worker = aWorker(async ({ content }) => void handled.push(content));
    const { loop, clock } = await startInterferedLoop(t, {
      location,
      gateways: [fakeGateway()],
      workers: [worker],
      limits: { maxConcurrentMessages: 2 },
      interfere: (real) => ({
        async record(change) {
          const stored = await real.record(change);
          const { conversationId, status } = change.message ?? {};
          const isFirstEnd = conversationId === ids[0] && status === "done";
          for (let turn = 0; isFirstEnd && turn < turns; turn += 1) await null;
          return stored;
        },
      }),
    });

    // Suspects wait before they are begun.
    await expect.poll(() => loop.health().openMessages, PATIENTLY).toBe(3);
    await clock.advance(1000);
    await expect.poll(() => handled.toSorted(), PATIENTLY).toEqual(["plain", "s1", "s2", "s3"]);
    await expect.poll(() => loop.health().openMessages, PATIENTLY).toBe(0);
  },
);
