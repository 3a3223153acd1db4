import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog, startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { DeliveryError, RobsonError } from "./errors.ts";
import { SensoriumLoop } from "./sensorium-loop.ts";

const SECOND_MS = 1000;
const PATIENTLY = { timeout: 20_000 };

describe.each(databaseKinds)("a stop while the loop starts, on $name", ({ create }) => {
  test("leaves nothing owned: the start says that it was stopped, and another loop can start", async (t) => {
    const store = await openStore(await create(t));
    t.onTestFinished(() => store.close());
    const early = fakeGateway();
    const loop = new SensoriumLoop({ store });
    loop.registerGateway(early);
    const started = loop.start();
    const refused = expect(started).rejects.toMatchObject({ code: "STOPPING" });

    await loop.stop();
    await refused;
    expect(await store.currentOwners()).toEqual([]);
    expect(() => early.say("/echo too early")).toThrow(/Nobody listens/);

    const gateway = fakeGateway();
    const other = new SensoriumLoop({ store });
    other.registerGateway(gateway);
    other.registerWorker(echo);
    t.onTestFinished(() => other.stop());
    await other.start();
    await gateway.say("/echo x");
    await other.idle();
    expect(gateway.texts()).toEqual(["completed: x"]);
  });
});

describe.each(databaseKinds)("a loop that owns the database and has not started, on $name", ({ create }) => {
  test("takes it over once, however often that is asked for, and a stop lets it go, also while it is being taken", async (t) => {
    const store = await openStore(await create(t));
    t.onTestFinished(() => store.close());
    const loop = new SensoriumLoop({ store, owner: "this one" });
    await Promise.all([loop.own(), loop.own()]);
    expect(await store.currentOwners()).toEqual(["this one"]);
    await loop.stop();
    expect(await store.currentOwners()).toEqual([]);

    const next = new SensoriumLoop({ store });
    const owned = next.own();
    await next.stop();
    await owned;
    expect(await store.currentOwners()).toEqual([]);
  });
});

describe.each(databaseKinds)("a delivery under way at a stop, on $name", ({ create }) => {
  /** A gateway that hangs until its signal is aborted. */
  const hanging = () =>
    fakeGateway({
      onSend: (_delivery, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    });

  test.for([1, 20])(
    "is neither a failure nor a dead letter, also as the last of %i attempts, and is made at the next start",
    async (maxDeliveryAttempts, t) => {
      const location = await create(t);
      const limits = { maxDeliveryAttempts };
      const stuck = hanging();
      const first = await startTestLoop(t, { location, gateways: [stuck], workers: [echo], limits });
      const { conversationId } = await stuck.say("/echo x");
      await expect.poll(() => stuck.attempted.length, PATIENTLY).toBe(1);
      await first.stop();

      const asked: string[] = [];
      const gateway = fakeGateway({
        find: async ({ id }) => {
          asked.push(id);
          return false;
        },
      });
      const second = await startTestLoop(t, { location, gateways: [gateway], workers: [echo], limits });
      await second.idle();

      expect(gateway.texts()).toEqual(["completed: x"]);
      expect(gateway.sent[0]?.id).toBe(stuck.attempted[0]?.id);
      expect(gateway.sent[0]?.attempt).toBe(2);
      expect(asked).toEqual([gateway.sent[0]?.id]);
      expect(await second.store.deadLetters({ limit: 9 })).toEqual([]);
      expect(
        await (await second.store.sql()).read.selectFrom("failed_attempts").selectAll().execute(),
      ).toEqual([]);
      const [event] = await second.store.events(conversationId);
      expect(event?.deliveries).toMatchObject([{ status: "done", lastError: null }]);
    },
  );

  test("that arrives all the same within the grace is done", async (t) => {
    const begun = Promise.withResolvers<void>();
    const arrive = Promise.withResolvers<void>();
    const gateway = fakeGateway({
      onSend: () => {
        begun.resolve();
        return arrive.promise;
      },
    });
    const location = await create(t);
    const { loop, store } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    const { conversationId } = await gateway.say("/echo x");
    await begun.promise;

    const stopped = loop.stop();
    arrive.resolve();
    await stopped;

    expect((await store.events(conversationId))[0]?.deliveries).toMatchObject([
      { status: "done", attempts: 1 },
    ]);
  });
});

test("a gateway whose start ignores its signal does not keep a stop waiting beyond the grace", async (t) => {
  const log = keptLog();
  const deaf = { ...fakeGateway(), start: () => new Promise<void>(() => undefined) };
  const limits = { stopGraceMs: 5 * SECOND_MS };
  const { loop, clock, store } = await startTestLoop(t, { gateways: [deaf], workers: [echo], limits, log });
  let isStopped = false;
  const stopped = loop.stop().then(() => {
    isStopped = true;
  });

  await clock.advance(5 * SECOND_MS - 1);
  expect(isStopped).toBe(false);
  await clock.advance(1);
  await expect.poll(() => isStopped, PATIENTLY).toBe(true);

  await stopped;
  expect(await store.currentOwners()).toEqual([]);
  expect(log.lines).toContainEqual({
    level: "error",
    message: "gateway ignores its signal; left behind",
    fields: { gateway: "fake" },
  });
});

test("when the ownership is lost, workers under way are aborted at once, and run says why", async (t) => {
  let lose: ((error: Error) => void) | undefined;
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const gateway = fakeGateway();
  const worker = aWorker(async (_message, _args, { signal }) => {
    begun.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    aborted.resolve();
  });
  const { loop, clock } = await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [worker],
    interfere: () => ({
      onLost(callback) {
        lose = callback;
      },
    }),
  });
  const ran = expect(loop.run()).rejects.toMatchObject({ code: "LEASE_LOST" });
  await gateway.say("go");
  await begun.promise;
  const lostAt = clock.now();

  lose?.(new RobsonError("LEASE_LOST", "Another process has taken over", { hint: "Start again" }));
  await aborted.promise;
  await ran;

  expect(clock.now()).toBe(lostAt); // no grace was waited for
});

test("a process whose one message waits for its retry stays alive for it, and ends after a stop", async (t) => {
  const file = join(await temporaryFolder(t), "robson.db");
  const at = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    const { SensoriumLoop } = await import(${at("./sensorium-loop.ts")});
    const { openStore } = await import(${at("../store/open-store.ts")});
    const { aWorker } = await import(${at("../testing/builders.ts")});
    const { fakeGateway } = await import(${at("../testing/fake-gateway.ts")});
    const store = await openStore(${JSON.stringify(file)});
    const gateway = fakeGateway({
      onSend: async ({ content }) => {
        console.log(content);
        setImmediate(() => loop.stop().then(() => store.close()));
      },
    });
    const worker = aWorker(async (message, args, { attempt, emit }) => {
      if (attempt === 1) throw new Error("not yet");
      await emit("completed", "attempt " + attempt);
    });
    const loop = new SensoriumLoop({ store, random: () => 0.9, limits: { backoffBaseMs: 300 } });
    loop.registerGateway(gateway);
    loop.registerWorker(worker);
    await loop.start();
    await gateway.say("go");`;

  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    timeout: 25_000,
  });

  expect(stdout.trim()).toBe("attempt 2");
});

test("progress that waits for its retry is not replaced by the copy that a second run of its worker emits", async (t) => {
  const retryAfterMs = 5 * SECOND_MS;
  const failWith = () => new DeliveryError("slow down", { retry: "later", retryAfterMs });
  const gateway = fakeGateway({ failures: 1, failWith });
  const finish = Promise.withResolvers<void>();
  const attempts: number[] = [];
  const worker = aWorker(async (_message, _args, { emit, attempt }) => {
    await emit("progress", "half");
    attempts.push(attempt);
    if (attempt === 1) throw new Error("once more");
    await finish.promise;
    await emit("completed", "whole");
  });
  const { clock, idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });
  await gateway.say("go");
  await idle();

  await clock.advance(SECOND_MS);
  await expect.poll(() => attempts, PATIENTLY).toEqual([1, 2]);
  await clock.advance(retryAfterMs);
  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["progress: half"]);
  finish.resolve();
  await idle();

  expect(gateway.texts()).toEqual(["progress: half", "completed: whole"]);
});
