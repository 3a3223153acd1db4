import { describe, expect, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { DeliveryError, WorkerError } from "./errors.ts";

const MINUTE_MS = 60_000;

describe.each(databaseKinds)("the loop on $name", ({ create }) => {
  test("a message is answered in the thread that asked, and nothing is left open", async (t) => {
    const gateway = fakeGateway();
    const { store, idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });

    const { conversationId, isDuplicate } = await gateway.say("/echo hello", {
      threadTs: "T1",
      idempotencyKey: "m1",
    });
    await idle();

    expect(isDuplicate).toBe(false);
    expect(gateway.sent).toMatchObject([
      {
        kind: "delivered",
        content: "hello",
        eventKind: "completed",
        channelId: "C1",
        threadTs: "T1",
        userId: "U1",
        conversationId,
        attempt: 1,
      },
    ]);
    expect(await store.conversation(conversationId)).toMatchObject({
      status: "done",
      content: "/echo hello",
    });
    const [event] = await store.events(conversationId);
    expect(event?.deliveredAt).toBeTypeOf("number");
    expect(event?.deliveries).toMatchObject([
      { status: "done", attempts: 1, deliveryId: gateway.sent[0]?.id },
    ]);
  });

  test("a message with a known idempotency key is a duplicate and runs nothing", async (t) => {
    const gateway = fakeGateway();
    const { idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });

    const first = await gateway.say("/echo one", { idempotencyKey: "k" });
    await idle();
    const second = await gateway.say("/echo two", { idempotencyKey: "k" });
    const both = await Promise.all([
      gateway.say("/echo three", { idempotencyKey: "l" }),
      gateway.say("/echo three", { idempotencyKey: "l" }),
    ]);
    await idle();

    expect(second).toEqual({ conversationId: first.conversationId, isDuplicate: true });
    expect(both.map(({ isDuplicate }) => isDuplicate)).toEqual([false, true]);
    expect(both[0]?.conversationId).toBe(both[1]?.conversationId);
    expect(gateway.texts()).toEqual(["completed: one", "completed: three"]);
  });

  test("an event whose first delivery attempt fails is delivered by the second, under the same id", async (t) => {
    const gateway = fakeGateway({ failures: 1 });
    const { idle, clock } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });

    await gateway.say("/echo hello");
    await idle();
    expect(gateway.sent).toEqual([]);

    await clock.advance(MINUTE_MS);
    await idle();
    expect(gateway.sent).toMatchObject([{ content: "hello", eventKind: "completed", attempt: 2 }]);
    expect(new Set(gateway.attempted.map(({ id }) => id)).size).toBe(1);
  });

  test("a permanent delivery error makes a dead letter at once, which can be retried", async (t) => {
    const gateway = fakeGateway({
      failures: 1,
      failWith: () => new DeliveryError("the channel is gone", { retry: "never" }),
    });
    const running = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });
    const { idle, store, clock } = running;

    const { conversationId } = await gateway.say("/echo hello");
    await idle();
    await clock.advance(MINUTE_MS);
    await idle();

    const letters = await store.deadLetters({ limit: 10 });
    expect(letters).toMatchObject([{ conversationId, attempts: 1, lastError: "the channel is gone" }]);
    expect(gateway.attempted).toHaveLength(1);

    expect(letters[0] && (await store.retryDeadLetter(letters[0]))).toBe(true);
    await expect.poll(() => gateway.texts()).toEqual(["completed: hello"]);
    await idle();
    expect(await store.deadLetters({ limit: 10 })).toEqual([]);
  });

  test("a worker that throws is tried again, and its asker hears of it only when it is given up", async (t) => {
    const gateway = fakeGateway();
    let calls = 0;
    const worker = aWorker(async (_message, _args, { emit }) => {
      calls += 1;
      await emit("started", "on it");
      await emit("completed", "never seen");
      throw new Error("no luck");
    });
    const running = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker],
      limits: { maxMessageAttempts: 3 },
    });

    const { conversationId } = await gateway.say("go");
    await running.idle();
    expect(gateway.texts()).toEqual(["started: on it"]);
    for (let round = 0; round < 3; round += 1) {
      await running.clock.advance(MINUTE_MS);
      await running.idle();
    }

    expect(calls).toBe(3);
    expect(gateway.texts()).toHaveLength(2);
    expect(gateway.texts()[1]).toMatch(/^failed: I could not do this: no luck/);
    expect(await running.store.deadLetters({ limit: 10 })).toMatchObject([
      { conversationId, lastError: "no luck" },
    ]);
  });

  test("a retried dead letter runs anew and its answer arrives", async (t) => {
    const gateway = fakeGateway();
    let isBroken = true;
    const worker = aWorker(async (_message, _args, { emit }) => {
      if (isBroken) throw new WorkerError("broken", { retry: "never" });
      await emit("completed", "well again");
    });
    const running = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker],
    });
    await gateway.say("go");
    await running.idle();
    const [letter] = await running.store.deadLetters({ limit: 1 });

    isBroken = false;
    expect(letter && (await running.store.retryDeadLetter(letter))).toBe(true);

    await expect.poll(() => gateway.texts().at(-1)).toBe("completed: well again");
  });

  test("messages of one thread are handled in order, one at a time, and threads do not hold each other up", async (t) => {
    const gateway = fakeGateway();
    const release = Promise.withResolvers<void>();
    const handled: string[] = [];
    const worker = aWorker(async ({ content }, _args, { emit }) => {
      handled.push(content);
      if (content === "a1") await release.promise;
      await emit("completed", content);
    });
    const { idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker],
    });

    await gateway.say("a1", { threadTs: "A" });
    await gateway.say("a2", { threadTs: "A" });
    await gateway.say("b1", { threadTs: "B" });
    await expect.poll(() => gateway.texts()).toEqual(["completed: b1"]);
    // Which of two threads is worked on first is not promised.
    expect(handled.toSorted()).toEqual(["a1", "b1"]);

    release.resolve();
    await idle();
    expect(gateway.texts()).toEqual(["completed: b1", "completed: a1", "completed: a2"]);
  });

  test("what was open at a stop is taken up by the next start", async (t) => {
    const location = await create(t);
    const deaf = fakeGateway({ failures: Number.POSITIVE_INFINITY });
    const first = await startTestLoop(t, { location, gateways: [deaf], workers: [echo] });
    for (const text of ["one", "two", "three"]) await deaf.say(`/echo ${text}`);
    await first.idle();
    await first.stop();
    expect(deaf.sent).toEqual([]);

    const gateway = fakeGateway();
    const second = await startTestLoop(t, {
      location,
      gateways: [gateway],
      workers: [echo],
      clock: first.clock,
    });
    await second.clock.advance(MINUTE_MS);
    await second.idle();

    expect(gateway.texts()).toEqual(["completed: one", "completed: two", "completed: three"]);
  });
});

test("a second owner of a file is refused, and the first goes on", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const gateway = fakeGateway();
  const { idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });

  await expect(startTestLoop(t, { location })).rejects.toMatchObject({ code: "ALREADY_RUNNING" });

  await gateway.say("/echo still here");
  await idle();
  expect(gateway.texts()).toEqual(["completed: still here"]);
});
