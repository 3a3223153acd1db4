import { describe, expect, onTestFinished, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { LoopControl } from "./control.ts";
import type { SensoriumLoop } from "./sensorium-loop.ts";

const HOUR_MS = 3_600_000;
const PATIENTLY = { timeout: 20_000 };

/** Works until its signal is aborted, and then tries to answer. */
function endless() {
  const begun: string[] = [];
  const signals: AbortSignal[] = [];
  const refused: unknown[] = [];
  const worker = aWorker(
    async ({ content }, _args, { signal, emit }) => {
      begun.push(content);
      signals.push(signal);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      await emit("completed", "all the same").catch((error) => refused.push(error));
    },
    { name: "endless" },
  );
  return { worker, begun, signals, refused };
}

/** `/status`, as a worker would have it. */
const status = aWorker(
  async (_message, _args, { control, emit }) => {
    const lines = control.openMessages().map(({ conversationId, state }) => `${conversationId} ${state}`);
    await emit("completed", lines.join(", "));
  },
  { name: "status", command: "/status", isControl: true },
);

function controlOf(loop: SensoriumLoop): LoopControl {
  if (!loop.control) throw new Error("The loop does not run");
  return loop.control;
}

describe("a control command", () => {
  test("is handled while every slot is taken, in the thread of a message that runs too", async (t) => {
    const { worker, begun } = endless();
    const gateway = fakeGateway();
    const options = { gateways: [gateway], workers: [worker, status], limits: { maxConcurrentMessages: 1 } };
    await startTestLoop(t, options);
    const first = await gateway.say("work", { threadTs: "T1" });
    const second = await gateway.say("more work", { threadTs: "T2" });
    await expect.poll(() => begun.length, PATIENTLY).toBe(1);

    await gateway.say("/status", { threadTs: "T1" });
    await expect
      .poll(() => gateway.texts(), PATIENTLY)
      .toEqual([`completed: ${first.conversationId} running, ${second.conversationId} waiting`]);

    await gateway.say("<@U9> /help", { threadTs: "T2" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toHaveLength(2);
    expect(gateway.texts()[1]).toContain("Available Commands");
  });

  test("is handled while memory is full, and while the backlog is still being read", async (t) => {
    const { worker } = endless();
    const gateway = fakeGateway();
    const limits = { maxConcurrentMessages: 1, maxLoaded: 2 };
    const { loop } = await startTestLoop(t, { gateways: [gateway], workers: [worker, status], limits });
    for (let index = 0; index < 5; index += 1) await gateway.say("work", { threadTs: `T${index}` });

    await gateway.say("/status", { threadTs: "T9" });

    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual([expect.stringContaining("running")]);
    expect(loop.health().openMessages).toBeLessThan(5);
  });

  test("does not run more often than maxConcurrentControl at once, and one that hangs holds up no message", async (t) => {
    const begun: string[] = [];
    const hanging = aWorker(
      async ({ content }, _args, { signal }) => {
        begun.push(content);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
      { name: "hanging", command: "/hang", isControl: true },
    );
    const gateway = fakeGateway();
    const limits = { maxConcurrentControl: 2 };
    await startTestLoop(t, { gateways: [gateway], workers: [hanging, echo], limits });

    for (let index = 0; index < 3; index += 1) await gateway.say(`/hang ${index}`, { threadTs: `T${index}` });
    await gateway.say("/echo well", { threadTs: "T0" });

    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: well"]);
    expect(begun).toEqual(["/hang 0", "/hang 1"]);
  });
});

describe.each(databaseKinds)("what is open, on $name", ({ create }) => {
  test("is told with its state, its worker and its times; control commands are left out", async (t) => {
    const { worker, begun } = endless();
    const failing = aWorker(
      async () => {
        throw new Error("not now");
      },
      { name: "failing", command: "/fail" },
    );
    const gateway = fakeGateway();
    const running = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker, failing],
      limits: { maxConcurrentMessages: 1 },
    });
    const { loop, clock, idle } = running;
    const now = clock.now();
    const failed = await gateway.say("/fail", { threadTs: "T1" });
    await idle();
    const first = await gateway.say("work", { threadTs: "T2", userId: "U7" });
    const behind = await gateway.say("/fail again", { threadTs: "T2" });
    await expect.poll(() => begun.length, PATIENTLY).toBe(1);

    const open = controlOf(loop).openMessages();

    const common = { gateway: "fake", channelId: "C1", createdAt: now };
    expect(open).toEqual([
      {
        ...common,
        conversationId: failed.conversationId,
        threadTs: "T1",
        userId: "U1",
        state: "retrying",
        worker: "failing",
        attempts: 1,
        nextAttemptAt: now + 1000,
        lastError: "not now",
      },
      {
        ...common,
        conversationId: first.conversationId,
        threadTs: "T2",
        userId: "U7",
        state: "running",
        worker: "endless",
        attempts: 1,
        startedAt: now,
      },
      {
        ...common,
        conversationId: behind.conversationId,
        threadTs: "T2",
        userId: "U1",
        state: "waiting",
        worker: "failing",
        attempts: 0,
      },
    ]);
  });
});

test("a worker that spreads its context into another one still has its signal, and that of its attempt", async (t) => {
  const signals: AbortSignal[] = [];
  const wrapped = aWorker(async (_message, _args, context) => {
    const spread: typeof context = { ...context, text: "other" };
    const { signal, emit, attempt } = spread;
    signals.push(signal, context.signal);
    await emit("completed", `attempt ${attempt}`);
  });
  const gateway = fakeGateway();
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [wrapped] });

  await gateway.say("hi");
  await idle();

  expect(gateway.texts()).toEqual(["completed: attempt 1"]);
  expect(signals[0]).toBe(signals[1]);
  expect(signals[0]?.aborted).toBe(true);
});

describe.each(databaseKinds)("a message that is stopped on $name", ({ create }) => {
  test("while it runs is ended: its signal is aborted, its asker is told, its result is refused", async (t) => {
    const { worker, signals, refused } = endless();
    const gateway = fakeGateway();
    const location = await create(t);
    const { loop, store, idle } = await startTestLoop(t, {
      location,
      gateways: [gateway],
      workers: [worker],
    });
    const { conversationId } = await gateway.say("work");
    await expect.poll(() => signals.length, PATIENTLY).toBe(1);

    expect(controlOf(loop).stop(conversationId, "Ann")).toBe(true);
    await idle();

    expect(signals[0]?.aborted).toBe(true);
    expect(gateway.texts()).toEqual(["failed: Stopped by Ann."]);
    expect(refused).toMatchObject([{ code: "WORKER_STOPPED" }]);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "done" });
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);
    expect(loop.health().openMessages).toBe(0);
    expect(controlOf(loop).stop(conversationId, "Bob")).toBe(false);
  });

  test("while it waits behind another one of its thread is never begun", async (t) => {
    const { worker, begun } = endless();
    const gateway = fakeGateway();
    const location = await create(t);
    const { loop, store, idle } = await startTestLoop(t, {
      location,
      gateways: [gateway],
      workers: [worker],
    });
    // Until it is caught up, it knows what it is told only once it has read it.
    await idle();
    const first = await gateway.say("first");
    const second = await gateway.say("second");
    await expect.poll(() => begun.length, PATIENTLY).toBe(1);

    expect(controlOf(loop).stop(second.conversationId, "Ann")).toBe(true);
    expect(gateway.sent).toEqual([]);
    controlOf(loop).stop(first.conversationId, "Bob");
    await idle();

    expect(begun).toEqual(["first"]);
    expect(gateway.texts()).toEqual(["failed: Stopped by Bob.", "failed: Stopped by Ann."]);
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);
  });

  test.each([
    ["message", {}],
    ["run", { run: {} }],
  ])("while it waits for a slot is ended at once: a %s", async (_kind, rules) => {
    const { worker, begun } = endless();
    const gateway = fakeGateway();
    const { loop, idle } = await startTestLoop(
      { onTestFinished },
      {
        location: await create({ onTestFinished }),
        gateways: [gateway],
        workers: [{ ...worker, ...rules }],
        limits: { maxConcurrentMessages: 1, maxConcurrentRuns: 1 },
      },
    );
    await idle();
    const first = await gateway.say("a", { threadTs: "a" });
    const second = await gateway.say("b", { threadTs: "b" });
    await expect.poll(() => begun, PATIENTLY).toEqual(["a"]);

    controlOf(loop).stop(second.conversationId, "Ann");
    await expect
      .poll(() => gateway.sent, PATIENTLY)
      .toMatchObject([{ threadTs: "b", content: expect.stringContaining("Stopped by Ann.") }]);
    controlOf(loop).stop(first.conversationId, "Ann");
    await idle();

    expect(begun).toEqual(["a"]);
  });

  test("while it waits for its worker's turn is ended at once, and the turn goes to the next", async (t) => {
    const { worker, begun } = endless();
    const limited = { ...worker, maxConcurrent: 1 };
    const gateway = fakeGateway();
    const location = await create(t);
    const { loop, idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [limited] });
    await idle();
    const ids: number[] = [];
    for (const text of ["a", "b", "c"]) {
      const { conversationId } = await gateway.say(text, { threadTs: text });
      ids.push(conversationId);
    }
    await expect.poll(() => begun.length, PATIENTLY).toBe(1);

    controlOf(loop).stop(ids[1] ?? 0, "Ann");
    await expect
      .poll(() => gateway.sent, PATIENTLY)
      .toMatchObject([{ threadTs: "b", content: "Stopped by Ann." }]);
    controlOf(loop).stop(ids[0] ?? 0, "Ann");
    await expect.poll(() => begun, PATIENTLY).toEqual(["a", "c"]);
    controlOf(loop).stop(ids[2] ?? 0, "Ann");
    await idle();

    expect(loop.health().openMessages).toBe(0);
  });

  test("while it waits for its retry is ended at once, and is not tried again", async (t) => {
    let runs = 0;
    const failing = aWorker(async () => {
      runs += 1;
      throw new Error("not now");
    });
    const gateway = fakeGateway();
    const location = await create(t);
    const running = await startTestLoop(t, { location, gateways: [gateway], workers: [failing] });
    const { loop, store, clock, idle } = running;
    const { conversationId } = await gateway.say("work");
    await idle();

    expect(controlOf(loop).stop(conversationId, "Ann")).toBe(true);
    await idle();
    expect(gateway.texts()).toEqual(["failed: Stopped by Ann."]);
    await clock.advance(HOUR_MS);
    await idle();

    expect(runs).toBe(1);
    expect(gateway.sent).toHaveLength(1);
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "done" });
  });
});

test("a message that is not open, and a control command, cannot be stopped", async (t) => {
  const begun = Promise.withResolvers<number>();
  const end = Promise.withResolvers<void>();
  const hanging = aWorker(
    async ({ conversationId }) => {
      begun.resolve(conversationId);
      await end.promise;
    },
    { name: "hanging", command: "/hang", isControl: true },
  );
  const gateway = fakeGateway();
  const { loop, idle } = await startTestLoop(t, { gateways: [gateway], workers: [hanging, echo] });
  const { conversationId } = await gateway.say("/echo done", { threadTs: "T1" });
  await idle();
  await gateway.say("/hang", { threadTs: "T2" });

  expect(controlOf(loop).stop(conversationId, "Ann")).toBe(false);
  expect(controlOf(loop).stop(4711, "Ann")).toBe(false);
  expect(controlOf(loop).stop(await begun.promise, "Ann")).toBe(false);
  expect(controlOf(loop).openMessages()).toEqual([]);
  end.resolve();
  await idle();
  expect(gateway.texts()).toEqual(["completed: done"]);
});
