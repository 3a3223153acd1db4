import { describe, expect, onTestFinished, type TestContext, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { DeliveryError, WorkerError } from "./errors.ts";
import type { GatewayContext } from "./gateway.ts";
import { silentLogger } from "./logger.ts";
import { defineWorker } from "./worker.ts";

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;

describe("a gateway whose targets are wrong", () => {
  const throwing = () => {
    throw new Error("no such channel");
  };

  test.for(["/echo hello", "/help", "nobody knows this"])(
    "ends a message whose targets cannot be named as a dead letter: %s",
    async (content, t) => {
      const gateway = fakeGateway({ targets: throwing });
      const limits = { fallbackPollMs: HOUR_MS };
      const running = await startTestLoop(t, { gateways: [gateway], workers: [echo], limits });
      const { idle, clock, store, loop } = running;

      const { conversationId } = await gateway.say(content);
      for (let round = 0; round < 5; round += 1) {
        await idle();
        await clock.advance(HOUR_MS);
      }
      await idle();

      expect(loop.health()).toMatchObject({ openMessages: 0, openDeliveries: 0 });
      expect(await store.deadLetters({ limit: 9 })).toMatchObject([
        { conversationId, lastError: "no such channel" },
      ]);
    },
  );

  test("gets one delivery for a target that it names twice", async (t) => {
    const gateway = fakeGateway({ targets: () => ["C1", "C2", "C1"] });
    const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [echo] });

    const { conversationId } = await gateway.say("/echo once");
    await idle();

    expect(gateway.sent.map(({ target }) => target).toSorted()).toEqual(["C1", "C2"]);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "done" });
  });
});

test.for<[string, unknown]>([
  ["it is undefined", undefined],
  ["it is a text", "hello"],
  ["its content is undefined, not text", { channelId: "C1" }],
  ["its channelId is undefined, not text", { content: "hello" }],
  ["its channelId is a number, not text", { content: "hello", channelId: 7 }],
  ["its isAddressed is a text, not true or false", { content: "hello", channelId: "C1", isAddressed: "no" }],
  ['it has no field "threadTS"', { content: "hello", channelId: "C1", threadTS: "T1" }],
  ['it has no field "replyTo"', { content: "hello", channelId: "C1", replyTo: undefined }],
])(
  "a message that a gateway hands over is refused and logged, also where it is not awaited: %s",
  async ([why, given], t) => {
    const { unhandled } = keepUnhandled(t);
    const lines: object[] = [];
    const log = { ...silentLogger, info: (fields: object, text: string) => lines.push({ ...fields, text }) };
    const { gateway, listening } = carelessGateway();
    const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [echo], log });
    const { accept } = await listening;

    void accept(given as never);
    await new Promise((resolve) => setImmediate(resolve));
    await idle();

    expect(unhandled).toEqual([]);
    const error = `Cannot accept a message: ${why}`;
    expect(lines).toContainEqual({
      gateway: "fake",
      code: "MESSAGE_INVALID",
      error,
      text: "message refused",
    });
    expect(await store.conversation(1)).toBeUndefined();
  },
);

test.for([
  ["threadTS", 'Did you mean "threadTs"?'],
  ["idempotencykey", 'Did you mean "idempotencyKey"?'],
  ["replyTo", expect.stringMatching(/^Leave it out; the fields are content, channelId, userId, threadTs,/)],
])("a field of a message that there is not is told with what to do: %s", async ([field, hint], t) => {
  const gateway = fakeGateway();
  await startTestLoop(t, { gateways: [gateway], workers: [echo] });

  const said = gateway.say("/echo hello", { [String(field)]: "T1" });

  await expect(said).rejects.toMatchObject({ code: "MESSAGE_INVALID", hint });
});

test("a message of a class of its own is taken, whatever its class has", async (t) => {
  class Update {
    content = "/echo hello";
    channelId = "C1";
  }
  Object.assign(Update.prototype, { raw: "of the platform" });
  const { gateway, listening } = carelessGateway();
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [echo] });

  await (await listening).accept(new Update());
  await idle();

  expect(gateway.texts()).toEqual(["completed: hello"]);
});

test("a message that comes too late ends no process whose gateway does not await it", async (t) => {
  const { unhandled } = keepUnhandled(t);
  const { gateway, listening } = carelessGateway();
  const { loop } = await startTestLoop(t, { gateways: [gateway], workers: [echo] });
  const { accept } = await listening;
  await loop.stop();

  void accept({ content: "hello", channelId: "C1" });
  await new Promise((resolve) => setImmediate(resolve));

  expect(unhandled).toEqual([]);
});

/** One whose `accept` is in the test's hands. */
function carelessGateway() {
  const gateway = fakeGateway();
  const listening = Promise.withResolvers<GatewayContext>();
  const start = (context: GatewayContext) => {
    listening.resolve(context);
    return gateway.start(context);
  };
  return { gateway: { ...gateway, start }, listening: listening.promise };
}

test.for<[string, unknown]>([
  ["undefined", undefined],
  ["a text", "C1"],
  ["a promise", Promise.resolve(["C1"])],
  ["an array with a number", [7]],
])("targets that are %s are told by the gateway's name", async ([what, targets], t) => {
  const gateway = fakeGateway({ targets: () => targets as never });
  const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [echo] });

  const { conversationId } = await gateway.say("/echo hello");
  await idle();

  const lastError = `targets() of gateway "fake" has answered ${what}, not a list of texts`;
  expect(await store.conversation(conversationId)).toMatchObject({ status: "pending", lastError });
});

test.for<[string, unknown]>([
  ["an array", []],
  ["a text", "no"],
  ["undefined", undefined],
])("a find that answers with %s does not count as delivered", async ([what, answer], t) => {
  const gateway = fakeGateway({ failures: 1, find: async () => answer as never });
  const { idle, clock, store } = await startTestLoop(t, { gateways: [gateway], workers: [echo] });

  const { conversationId } = await gateway.say("/echo hello");
  await idle();
  await clock.advance(SECOND_MS);
  await idle();

  const [event] = await store.events(conversationId);
  const lastError = `find() of gateway "fake" has answered ${what}, not true or false`;
  expect(event?.deliveries).toMatchObject([{ status: "pending", lastError }]);
});

describe("what a worker throws", () => {
  test.for<[string, unknown, string]>([
    ["an object without any text", Object.create(null), "something was thrown that has no text"],
    [
      "an error whose message is an object",
      Object.assign(new Error(), { message: { code: 7 } }),
      "[object Object]",
    ],
    ["undefined", undefined, "undefined"],
  ])("is a failed attempt like any other: %s", async ([_name, thrown, text], t) => {
    const gateway = fakeGateway();
    let runs = 0;
    const worker = aWorker(
      async () => {
        runs += 1;
        throw thrown;
      },
      { maxAttempts: 2 },
    );
    const { idle, clock, store } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });

    const { conversationId } = await gateway.say("go");
    await idle();
    expect(await store.conversation(conversationId)).toMatchObject({ status: "pending", lastError: text });
    await clock.advance(HOUR_MS);
    await idle();

    expect(runs).toBe(2);
    expect(await store.deadLetters({ limit: 9 })).toMatchObject([{ conversationId, lastError: text }]);
    expect(gateway.texts()).toEqual([expect.stringContaining(`failed: I could not do this: ${text}`)]);
  });

  test("is cut where it is long, in the record and for the asker", async (t) => {
    const gateway = fakeGateway();
    const worker = aWorker(async () => {
      throw new WorkerError("y".repeat(5_000_000), { retry: "never" });
    });
    const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });

    await gateway.say("go");
    await idle();

    const [letter] = await store.deadLetters({ limit: 9 });
    expect(letter?.lastError).toMatch(/^y{4000}…$/);
    expect(gateway.sent[0]?.content.length).toBeLessThan(5000);
  });
});

describe.each(databaseKinds)("a wait that a plugin asks for, on $name", ({ create }) => {
  test.for<[string, number, number]>([
    ["is ignored when it is not a number", Number.NaN, SECOND_MS],
    ["is rounded up to whole milliseconds", 1500.5, 1501],
    ["is ignored when it is negative", -5, SECOND_MS],
  ])("%s", async ([_name, retryAfterMs, waitMs], t) => {
    const gateway = fakeGateway({
      failures: 1,
      failWith: () => new DeliveryError("slow down", { retry: "later", retryAfterMs }),
    });
    const worker = aWorker(async ({ content }, _args, { attempt, emit }) => {
      if (content === "fail" && attempt === 1)
        throw new WorkerError("slow down", { retry: "later", retryAfterMs });
      await emit("completed", content);
    });
    const options = { location: await create(t), gateways: [gateway], workers: [worker] };
    const { idle, clock } = await startTestLoop(t, options);

    await gateway.say("send", { threadTs: "T1" });
    await idle();
    await gateway.say("fail", { threadTs: "T2" });
    await idle();
    await clock.advance(waitMs - 1);
    await idle();
    expect(gateway.sent).toEqual([]);
    await clock.advance(1);
    await idle();

    expect(gateway.texts().toSorted()).toEqual(["completed: fail", "completed: send"]);
  });
});

test.each([
  ["an object", { text: "done" }],
  ["an array", ["done"]],
  ["undefined", undefined],
])("an answer that is %s is refused, and the asker is told what to pass", async (what, content) => {
  const gateway = fakeGateway();
  const worker = aWorker((_message, _args, { emit }) => emit("completed", content as never));
  const { idle } = await startTestLoop({ onTestFinished }, { gateways: [gateway], workers: [worker] });

  await gateway.say("anything");
  await idle();

  expect(gateway.texts()).toEqual([
    expect.stringContaining(`Cannot emit an event whose content is ${what}, not text\nPass a text, as in `),
  ]);
});

test("an answer that is refused and that nobody awaits is a failure, not an end without a word", async (t) => {
  const gateway = fakeGateway();
  const worker = aWorker(async (_message, _args, { emit }) => void emit("done" as "completed", "hello"));
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });

  await gateway.say("anything");
  await idle();

  expect(gateway.texts()).toEqual([
    expect.stringContaining('failed: I could not do this: Cannot emit an event of kind "done"'),
  ]);
});

test("a worker that returns its answer instead of emitting it is named in the log", async (t) => {
  const warnings: object[] = [];
  const gateway = fakeGateway();
  const [returning, emitting] = ["/a", "/b"].map((command) =>
    aWorker(
      async (_message, _args, { emit }) => {
        if (command === "/b") await emit("completed", "done");
        return "my answer";
      },
      { name: command.slice(1), command },
    ),
  );
  if (!returning || !emitting) throw new Error("two workers");
  const log = { ...silentLogger, warn: (fields: object, text: string) => warnings.push({ ...fields, text }) };
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [returning, emitting], log });

  for (const command of ["/a", "/b", "/a"]) await gateway.say(command);
  await idle();

  expect(warnings).toEqual([
    { conversationId: 1, worker: "a", text: expect.stringContaining("returned a text and emitted nothing") },
  ]);
});

test("a worker that leaves its asker without an answer is named in the log, once", async (t) => {
  const warnings: object[] = [];
  const gateway = fakeGateway();
  const muttering = aWorker((_message, _args, { emit }) => emit("progress", "…"), {
    command: "/a",
    name: "a",
  });
  const passing = aWorker(async () => false, { pattern: "overheard|/b", name: "b" });
  const silent = aWorker(async () => undefined, { name: "c" });
  const log = { ...silentLogger, warn: (fields: object, text: string) => warnings.push({ ...fields, text }) };
  const workers = [muttering, passing, silent];
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers, log });

  await gateway.say("overheard", { isAddressed: false });
  for (const content of ["/a", "/a", "/b"]) await gateway.say(content);
  await idle();

  const text = "worker returned without completed or failed; its asker gets no answer";
  expect(warnings).toEqual([
    { conversationId: 2, worker: "a", text },
    { conversationId: 4, worker: "c", text },
  ]);
});

test("a worker that emits when its message has ended is named in the log, once", async (t) => {
  const warnings: object[] = [];
  const late = Promise.withResolvers<void>();
  const gateway = fakeGateway();
  const worker = aWorker(async (_message, _args, { emit }) => {
    void late.promise.then(() => Promise.allSettled([emit("progress", "1"), emit("completed", "2")]));
  });
  const log = { ...silentLogger, warn: (fields: object, text: string) => warnings.push({ ...fields, text }) };
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker], log });
  await gateway.say("anything", { isAddressed: false });
  await idle();

  late.resolve();
  await new Promise((resolve) => setImmediate(resolve));

  expect(gateway.sent).toEqual([]);
  expect(warnings).toEqual([
    { conversationId: 1, worker: "w", text: "worker emits after its attempt is over; nobody gets it" },
  ]);
});

test("a worker whose args are no schema is refused at once", () => {
  for (const args of [{ count: "number" }, "number", null]) {
    const define = () => defineWorker({ ...echo, args: args as never });
    expect(define).toThrow('Cannot define worker "echo": its args are no schema');
  }
});

test("an emit that nobody awaits and that is refused does not end the process", async (t) => {
  const { unhandled } = keepUnhandled(t);
  const gateway = fakeGateway();
  const emitted = Promise.withResolvers<void>();
  const worker = aWorker(async (_message, _args, { emit }) => {
    void emit("nonsense" as "progress", "of no kind");
    setImmediate(() =>
      setImmediate(() => {
        void emit("progress", "after the end");
        emitted.resolve();
      }),
    );
    await emit("completed", "done");
  });
  const warnings: unknown[] = [];
  const log = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker], log });

  await gateway.say("go");
  await emitted.promise;
  await idle();
  await new Promise((resolve) => setImmediate(resolve));

  expect(unhandled).toEqual([]);
  expect(gateway.texts()).toEqual(["completed: done"]);
  expect(warnings[0]).toMatchObject({ worker: "w", error: 'Cannot emit an event of kind "nonsense"' });
});

/** What would end the process. */
function keepUnhandled(t: TestContext) {
  const unhandled: unknown[] = [];
  const keep = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", keep);
  t.onTestFinished(() => void process.off("unhandledRejection", keep));
  return { unhandled };
}
