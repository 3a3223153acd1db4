import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { roomTaken } from "./backlog.ts";
import { DeliveryError } from "./errors.ts";
import { defineWorker } from "./worker.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const PATIENTLY = { timeout: 20_000 };

test("deliveries that wait for a gateway that is away do not keep another gateway's from being read", async (t) => {
  const failWith = () => new DeliveryError("away", { retry: "later", retryAfterMs: HOUR_MS });
  const away = fakeGateway({ name: "away", failures: Number.POSITIVE_INFINITY, failWith });
  const well = fakeGateway({ name: "well" });
  const options = { gateways: [away, well], workers: [echo], limits: { maxLoaded: 10 } };
  const { loop, clock } = await startTestLoop(t, options);
  for (let index = 0; index < 20; index += 1) await away.say("/echo x", { threadTs: `T${index}` });
  await expect.poll(() => away.attempted.length, PATIENTLY).toBe(20);

  await clock.advance(MINUTE_MS); // now the open deliveries are read anew
  await well.say("/echo before");
  await clock.advance(MINUTE_MS);
  await well.say("/echo after");

  await expect.poll(() => well.texts(), PATIENTLY).toEqual(["completed: before", "completed: after"]);
  expect(loop.health().openDeliveries).toBeGreaterThanOrEqual(20);
});

test("messages that wait for a far retry do not keep others from being handled after a restart", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const store = await openStore(location);
  const before = await store.own({ owner: "the one before", gateways: ["fake"], now: 0 });
  for (let index = 0; index < 20; index += 1) {
    const message = aMessage({ content: "/echo later", threadTs: `T${index}` });
    const { conversationId } = await before.accept(message, { shard: 0, status: "pending", attempts: 0 });
    const waiting = { status: "pending", attempts: 1, interruptions: 0, lastError: "x" } as const;
    const nextAttemptAt = Date.UTC(2030, 0, 1, 1);
    await before.record({ shard: 0, message: { conversationId, nextAttemptAt, ...waiting } });
  }
  await store.close();

  const gateway = fakeGateway();
  const options = { location, gateways: [gateway], workers: [echo], limits: { maxLoaded: 10 } };
  const { loop, clock } = await startTestLoop(t, options);
  await gateway.say("/echo new");
  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: new"]);
  expect(loop.health().openMessages).toBe(20);

  await clock.advance(HOUR_MS);
  await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(21);
});

test("a copy of a control command that takes the last room gives it back to the messages that wait for it", async (t) => {
  const gateway = fakeGateway();
  const [begins, copyIsAnswered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const about = { description: "Does it", example: "/it" };
  const slow = defineWorker({
    ...{ ...about, name: "slow", command: "/slow" },
    async handle(_message, _args, { emit, text }) {
      await begins.promise;
      await emit("completed", text);
    },
  });
  const ping = defineWorker({
    ...{ ...about, name: "ping", command: "/ping", isControl: true },
    handle: async (_message, _args, { emit }) => emit("completed", "pong"),
  });
  const { loop, idle } = await startInterferedLoop(t, {
    ...{ gateways: [gateway], workers: [slow, ping], limits: { maxLoaded: 2 } },
    interfere: (real) => ({
      async accept(message, at) {
        const accepted = await real.accept(message, at);
        if (accepted.isDuplicate) await copyIsAnswered.promise;
        return accepted;
      },
    }),
  });
  await idle(); // before that, a page is read whatever room there is
  for (const threadTs of ["A", "B", "C"]) await gateway.say(`/slow ${threadTs}`, { threadTs });
  await gateway.say("/ping", { idempotencyKey: "P" });
  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: pong"]);

  const copy = gateway.say("/ping", { idempotencyKey: "P" });
  begins.resolve();
  await expect.poll(() => gateway.texts().toSorted(), PATIENTLY).toContain("completed: B");
  await expect.poll(() => loop.health().openMessages, PATIENTLY).toBe(1);
  copyIsAnswered.resolve();

  expect(await copy).toMatchObject({ isDuplicate: true });
  await expect.poll(() => gateway.texts(), PATIENTLY).toContain("completed: C");
});

test("a message is not begun before an older one of its thread that another process stored and there is no room for", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const other = await openStore(location);
  t.onTestFinished(() => other.close());
  const gateway = fakeGateway();
  const held = Promise.withResolvers<void>();
  const hold = defineWorker({
    ...{ name: "hold", description: "Takes the only slot", example: "/hold", command: "/hold" },
    handle: () => held.promise,
  });
  const { idle } = await startInterferedLoop(t, {
    ...{ location, gateways: [gateway], workers: [hold, echo] },
    limits: { maxLoaded: 2, maxConcurrentMessages: 1 },
    interfere: (real) => ({
      async accept(message, at) {
        if (message.content === "/echo younger")
          await other.insertUnowned(aMessage({ content: "/echo older", threadTs: "T1" }));
        return real.accept(message, at);
      },
    }),
  });
  await idle(); // before that, all is read with the pages
  await gateway.say("/hold", { threadTs: "T0" });

  await gateway.say("/echo younger", { threadTs: "T1" });
  held.resolve();

  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: older", "completed: younger"]);
});

test("what waits for its retry takes no room, until maxHeld of it are in memory", () => {
  const limits = { maxHeld: 100 };

  expect(roomTaken({ loaded: 99, held: 99, limits })).toBe(0);
  expect(roomTaken({ loaded: 150, held: 99, limits })).toBe(51);
  expect(roomTaken({ loaded: 100, held: 100, limits })).toBe(Number.POSITIVE_INFINITY);
});

test("a thread with more messages than there is room for does not keep other threads' from being handled", async (t) => {
  const gateway = fakeGateway();
  const goOn = Promise.withResolvers<void>();
  const slow = defineWorker({
    ...{ name: "slow", description: "Waits", example: "/slow", command: "/slow" },
    handle: async (_message, _args, { emit }) => goOn.promise.then(() => emit("completed", "slow")),
  });
  const options = { gateways: [gateway], workers: [slow, echo], limits: { maxLoaded: 10 } };
  await startTestLoop(t, options);
  for (let index = 0; index < 30; index += 1) await gateway.say("/slow", { threadTs: "flooded" });

  for (let index = 0; index < 3; index += 1) await gateway.say("/echo other", { threadTs: `T${index}` });

  const others = Array.from({ length: 3 }, () => "completed: other");
  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(others);
  goOn.resolve();
  await expect.poll(() => gateway.texts().length, PATIENTLY).toBe(33);
});

test("a message with more events than there is room for does not keep others' answers from being delivered", async (t) => {
  const goOn = Promise.withResolvers<void>();
  const slow = fakeGateway({ name: "slow", onSend: () => goOn.promise });
  const quick = fakeGateway({ name: "quick" });
  const flood = defineWorker({
    ...{ name: "flood", description: "Tells much", example: "/flood", command: "/flood" },
    async handle(_message, _args, { emit }) {
      for (let index = 0; index < 30; index += 1) await emit("progress", `${index}`);
      await emit("completed", "flooded");
    },
  });
  const options = { gateways: [slow, quick], workers: [flood, echo], limits: { maxLoaded: 10 } };
  await startTestLoop(t, options);
  await slow.say("/flood");
  await expect.poll(() => slow.attempted.length, PATIENTLY).toBe(1);

  for (let index = 0; index < 3; index += 1) await quick.say("/echo other", { threadTs: `T${index}` });

  await expect.poll(() => quick.texts().length, PATIENTLY).toBe(3);
  goOn.resolve();
  await expect.poll(() => slow.texts().at(-1), PATIENTLY).toBe("completed: flooded");
});

test("messages with much text are read into memory as others end, and none is lost", async (t) => {
  const gateway = fakeGateway();
  const goOn = Promise.withResolvers<void>();
  const slow = defineWorker({
    ...{ name: "slow", description: "Waits", example: "/slow", command: "/slow" },
    handle: async (_message, _args, { emit, text }) => goOn.promise.then(() => emit("completed", text)),
  });
  const { loop } = await startTestLoop(t, {
    ...{ gateways: [gateway], workers: [slow] },
    limits: { maxLoadedText: 5000, maxConcurrentMessages: 2 },
  });
  const numbers = Array.from({ length: 30 }, (_, index) => `${index + 10}`);
  for (const number of numbers) await gateway.say(`/slow ${"x".repeat(1000)}${number}`, { threadTs: number });

  expect(loop.health().openMessages).toBeLessThan(10);
  goOn.resolve();
  const answered = () => gateway.texts().map((text) => text.slice(-2));
  await expect.poll(() => answered().toSorted(), PATIENTLY).toEqual(numbers);
});

describe.each(databaseKinds)("long messages and answers from before, on $name", ({ create }) => {
  test("are read into memory a few at a time, and all are answered", { timeout: 120_000 }, async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    const text = "x".repeat(200_000);
    const numbers = Array.from({ length: 120 }, (_, index) => `${index + 100}`);
    for (const number of numbers)
      await store.insertUnowned(aMessage({ content: `/echo ${text}${number}`, threadTs: number }));
    await store.close();
    const gateway = fakeGateway();
    const pages: number[] = [];
    const measured = async <Row extends { content: string }>(read: Promise<Row[]>) => {
      const rows = await read;
      pages.push(rows.reduce((sum, { content }) => sum + content.length, 0));
      return rows;
    };

    await startInterferedLoop(t, {
      ...{ location, gateways: [gateway], workers: [echo] },
      interfere: (real) => ({
        openMessages: (page) => measured(real.openMessages(page)),
        openDeliveries: (page) => measured(real.openDeliveries(page)),
      }),
    });

    const answered = () => gateway.texts().map((answer) => answer.slice(-3));
    await expect.poll(() => answered().toSorted(), { timeout: 60_000 }).toEqual(numbers);
    expect(Math.max(...pages)).toBeLessThan(9 * 1024 * 1024);
  });
});
