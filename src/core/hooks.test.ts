import { expect, test } from "vitest";
import { aWorker, echoWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { DeliveryError, WorkerError } from "./errors.ts";
import { HOOK_POINTS, type HookPoint, type Hooks } from "./hooks.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { definePlugin, type Plugin } from "./plugin.ts";

/** A plugin that writes down what it is told. */
function listener() {
  const told: [point: HookPoint, fact: Hooks[HookPoint]][] = [];
  const plugin = definePlugin({
    name: "listener",
    setup(host) {
      for (const point of HOOK_POINTS) host.hook(point, (fact) => told.push([point, fact]));
    },
  });
  return { plugin, told, points: () => told.map(([point]) => point) };
}

/** A plugin with one callback at one point. */
function hooked(callback: () => unknown, point: HookPoint = "message.accepted"): Plugin {
  return definePlugin({ name: "bad", setup: (host) => host.hook(point, callback) });
}

/** A log that keeps its warnings and errors. */
function keptLog() {
  const lines: object[] = [];
  const keep = (fields: object, text: string) => lines.push({ ...fields, text });
  const log: Logger = { ...silentLogger, warn: keep, error: keep };
  return { log, lines };
}

test.for(databaseKinds)("hooks are told each station of a message's way on $name", async (kind, t) => {
  const gateway = fakeGateway();
  const { plugin, told } = listener();
  const { idle } = await startTestLoop(t, {
    location: await kind.create(t),
    gateways: [gateway],
    workers: [echoWorker],
    plugins: [plugin],
  });

  await gateway.say("/echo hello", { threadTs: "T1" });
  await idle();

  const message = {
    kind: "received",
    conversationId: 1,
    content: "/echo hello",
    threadTs: "T1",
    gateway: "fake",
  };
  expect(told).toMatchObject([
    ["message.accepted", { message }],
    ["event.stored", { message, event: { id: 1, kind: "completed", content: "hello", worker: "echo" } }],
    ["message.ended", { message, outcome: "done", worker: "echo" }],
    [
      "delivery.ended",
      { outcome: "delivered", delivery: { id: gateway.sent[0]?.id, content: "hello", attempt: 1 } },
    ],
  ]);
});

test.for(databaseKinds)(
  "dead letters, of messages and of deliveries, are told with their error on $name",
  async (kind, t) => {
    const failWith = () => new DeliveryError("no such channel", { retry: "never" });
    const gateway = fakeGateway({ failures: Number.POSITIVE_INFINITY, failWith });
    const failing = aWorker(async () => {
      throw new WorkerError("the build is red", { retry: "never" });
    });
    const { plugin, told } = listener();
    const { idle } = await startTestLoop(t, {
      location: await kind.create(t),
      gateways: [gateway],
      workers: [failing],
      plugins: [plugin],
    });

    await gateway.say("build");
    await idle();

    expect(told.filter(([point]) => point.endsWith(".ended"))).toMatchObject([
      ["message.ended", { outcome: "dead", worker: "w", error: "the build is red" }],
      ["delivery.ended", { outcome: "dead", error: "no such channel" }],
    ]);
  },
);

test.for(databaseKinds)(
  "progress that a later event overtakes is told as superseded on $name",
  async (kind, t) => {
    const gateway = fakeGateway({ failures: 1 });
    const [failed, told] = [Promise.withResolvers<void>(), [] as Hooks["delivery.ended"][]];
    const plugin = definePlugin({
      name: "ends",
      setup: (host) => host.hook("delivery.ended", (fact) => told.push(fact)),
    });
    const working = aWorker(async (_message, _args, { emit }) => {
      await emit("progress", "half");
      await failed.promise;
      await emit("completed", "whole");
    });
    const log = { ...silentLogger, warn: () => failed.resolve() };
    const { idle } = await startTestLoop(t, {
      location: await kind.create(t),
      gateways: [gateway],
      workers: [working],
      plugins: [plugin],
      log,
    });

    await gateway.say("work");
    await idle();

    expect(told).toMatchObject([
      { outcome: "superseded", delivery: { eventKind: "progress", content: "half" } },
      { outcome: "delivered", delivery: { eventKind: "completed" } },
    ]);
  },
);

test.for(databaseKinds)("a delivery whose subscriber leaves is told as closed on $name", async (kind, t) => {
  const sending = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const onSend = async () => {
    sending.resolve();
    await answer.promise;
    throw new DeliveryError("the platform is down", { retry: "later" });
  };
  const gateway = { ...fakeGateway({ onSend, targets: () => [] }), hasSubscribers: true };
  const { plugin, told } = listener();
  const running = await startTestLoop(t, {
    location: await kind.create(t),
    gateways: [gateway],
    workers: [echoWorker],
    plugins: [plugin],
  });
  const target = "https://example.org/hook";
  const { subscribers } = running.store;
  const added = await subscribers.add({ callbackUrl: target, description: null }, { maxSubscribers: 1 });

  await gateway.say("/echo hello");
  await sending.promise;
  await subscribers.remove(added?.subscriber.id ?? 0);
  answer.resolve();
  await running.idle();

  expect(told.at(-1)).toMatchObject(["delivery.ended", { outcome: "closed", delivery: { target } }]);
});

test("a message that a person stops is told as stopped", async (t) => {
  const gateway = fakeGateway();
  const { plugin, told } = listener();
  const begun = Promise.withResolvers<void>();
  const waiting = aWorker(async (_message, _args, { signal }) => {
    begun.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  });
  const { loop, idle } = await startTestLoop(t, {
    gateways: [gateway],
    workers: [waiting],
    plugins: [plugin],
  });

  const { conversationId } = await gateway.say("wait");
  await begun.promise;
  loop.control?.stop(conversationId, "ada");
  await idle();

  expect(told).toContainEqual([
    "message.ended",
    expect.objectContaining({ outcome: "stopped", worker: null }),
  ]);
});

test("a duplicate, a retry and an event that a former attempt had stored are told no second time", async (t) => {
  const gateway = fakeGateway();
  const { plugin, points } = listener();
  const flaky = aWorker(async (_message, _args, { emit, attempt }) => {
    await emit("started", "on it");
    if (attempt === 1) throw new Error("not yet");
    await emit("completed", "done");
  });
  const { clock, idle } = await startTestLoop(t, {
    gateways: [gateway],
    workers: [flaky],
    plugins: [plugin],
  });

  await gateway.say("build", { idempotencyKey: "1" });
  await gateway.say("build", { idempotencyKey: "1" });
  await idle();
  await clock.advance(60_000);
  await idle();

  expect(points().sort()).toEqual([
    "delivery.ended",
    "delivery.ended",
    "event.stored",
    "event.stored",
    "message.accepted",
    "message.ended",
  ]);
});

test.each([
  [
    "throws",
    () => {
      throw new Error("metrics are down");
    },
  ],
  ["rejects", () => Promise.reject(new Error("metrics are down"))],
])("a hook that %s loses no message, and the log names its plugin", async (_how, callback) => {
  await expectAnswers(callback, ({ lines }) => {
    expect(lines[0]).toEqual({
      plugin: "bad",
      hook: "message.accepted",
      error: "metrics are down",
      stack: expect.stringContaining("hooks.test.ts"),
      count: 1,
      text: "hook failed",
    });
    // The rest of a minute is told together.
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatchObject({ count: 4, text: "hook failed" });
  });
});

test("a hook that never ends is called up to the limit, and what is left out is counted in the log", async () => {
  let calls = 0;
  const hangs = () => {
    calls += 1;
    return new Promise(() => undefined);
  };

  await expectAnswers(hangs, ({ lines }) => {
    expect(calls).toBe(2);
    expect(lines.slice(0, 2)).toMatchObject([
      { plugin: "bad", maxHookCalls: 2, count: 1, text: expect.stringContaining("hook not called") },
      { plugin: "bad", count: 2, text: expect.stringContaining("hook not called") },
    ]);
    expect(lines.at(-1)).toEqual({ plugin: "bad", calls: 2, text: "hooks have not ended; left behind" });
  });
});

/** Five messages are answered beside this hook, and the loop stops. */
async function expectAnswers(callback: () => unknown, check: (log: ReturnType<typeof keptLog>) => void) {
  const ends: (() => Promise<void>)[] = [];
  const kept = keptLog();
  const gateway = fakeGateway();
  const running = await startTestLoop(
    { onTestFinished: (end) => ends.push(end) },
    {
      gateways: [gateway],
      workers: [echoWorker],
      plugins: [hooked(callback)],
      limits: { maxHookCalls: 2 },
      log: kept.log,
    },
  );
  for (const text of ["1", "2", "3", "4", "5"]) await gateway.say(`/echo ${text}`, { threadTs: text });
  await running.idle();
  expect(gateway.texts().sort()).toEqual([1, 2, 3, 4, 5].map((text) => `completed: ${text}`));
  for (const end of ends) await end();
  check(kept);
}

test("a hook under way at the stop is waited for within the grace", async (t) => {
  const gateway = fakeGateway();
  const [called, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isDone = false;
  const slow = async () => {
    called.resolve();
    await answer.promise;
    isDone = true;
  };
  const running = await startTestLoop(t, {
    gateways: [gateway],
    workers: [echoWorker],
    plugins: [hooked(slow, "message.ended")],
  });
  await gateway.say("/echo hello");
  await called.promise;

  const stopped = running.loop.stop();
  answer.resolve();
  await stopped;

  expect(isDone).toBe(true);
});

test("no hook can change what the next one is told", async (t) => {
  const gateway = fakeGateway();
  const { plugin, told } = listener();
  const meddler = definePlugin({
    name: "meddler",
    setup: (host) =>
      host.hook("message.accepted", ({ message }) => Object.assign(message, { content: "something else" })),
  });
  const { idle } = await startTestLoop(t, {
    gateways: [gateway],
    workers: [echoWorker],
    plugins: [meddler, plugin],
  });

  await gateway.say("/echo hello");
  await idle();

  expect(told[0]).toMatchObject(["message.accepted", { message: { content: "/echo hello" } }]);
});
