import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog, startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { Overload } from "./overload.ts";

const PATIENTLY = { timeout: 20_000 };
const FULL = { code: "OVERLOADED", retryAfterMs: 5000 };

/** Works until the test says so. */
function held() {
  const release = Promise.withResolvers<void>();
  const worker = aWorker(async (_message, _args, { emit }) => {
    await release.promise;
    await emit("completed", "done");
  });
  return { worker, release: release.resolve };
}

const status = aWorker((_message, _args, { emit }) => emit("completed", "well"), {
  name: "status",
  command: "/status",
  isControl: true,
});

describe.each(databaseKinds)("too many open messages on $name", ({ create }) => {
  test("are refused with the limit's name until some have ended; none that was accepted is lost", async (t) => {
    const { worker, release } = held();
    const gateway = fakeGateway();
    const log = keptLog();
    const { idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker, status],
      limits: { maxOpenMessages: 3, maxConcurrentMessages: 2 },
      log,
    });
    await idle(); // what comes while the open ones are counted may be counted twice
    for (const threadTs of ["T1", "T2", "T3"]) await gateway.say("work", { threadTs });

    const refused = gateway.say("one more", { threadTs: "T4" });
    await expect(refused).rejects.toMatchObject(FULL);
    await expect(refused).rejects.toThrow("maxOpenMessages (3)");
    await expect(gateway.say("another", { threadTs: "T5" })).rejects.toMatchObject(FULL);
    release();
    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(3);
    await idle();
    await gateway.say("at last", { threadTs: "T6" });

    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(4);
    const told = log.lines.map(({ message }) => message).filter((line) => line.includes("messages"));
    expect(told).toEqual(["too many messages; new ones are refused for now", "messages are accepted again"]);
  });

  test("leave room for control commands, as much again", async (t) => {
    const { worker } = held();
    const gateway = fakeGateway();
    const never = aWorker(() => new Promise(() => undefined), {
      name: "never",
      command: "/never",
      isControl: true,
    });
    const { loop, idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker, status, never],
      limits: { maxOpenMessages: 2 },
    });
    await idle();
    for (const threadTs of ["T1", "T2"]) await gateway.say("work", { threadTs });

    await gateway.say("/status", { threadTs: "T3" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: well"]);
    await expect.poll(() => loop.health().openMessages, PATIENTLY).toBe(2);
    for (const threadTs of ["T4", "T5"]) await gateway.say("/never", { threadTs });

    await expect(gateway.say("/never", { threadTs: "T6" })).rejects.toMatchObject(FULL);
  });

  test("that wait for a person are not among them", async (t) => {
    const asking = aWorker(async (_message, _args, { ask }) => void (await ask("sure", { text: "Sure?" })), {
      run: {},
    });
    const gateway = fakeGateway();
    const limits = { maxOpenMessages: 2 };
    const { idle } = await startTestLoop(t, {
      location: await create(t),
      ...{ gateways: [gateway], workers: [asking], limits },
    });
    await idle();
    for (const threadTs of ["T1", "T2"]) await gateway.say("work", { threadTs });
    await idle();

    for (const threadTs of ["T3", "T4"]) await gateway.say("work", { threadTs });
  });

  test("of before a restart count too", async (t) => {
    const location = await create(t);
    const before = await openStore(location);
    const ownership = await before.own({ owner: "the one before", gateways: ["fake"], now: 0 });
    for (const threadTs of ["T1", "T2", "T3"])
      await ownership.accept(aMessage({ threadTs }), { shard: 0, status: "pending", attempts: 0 });
    await before.close();
    const { worker } = held();
    const gateway = fakeGateway();
    const limits = { maxOpenMessages: 3 };
    const { store } = await startTestLoop(t, { location, gateways: [gateway], workers: [worker], limits });
    expect(await store.admission.countOpen(10)).toBe(3);

    await expect
      .poll(() => gateway.say("x", { threadTs: "T4" }).catch((error) => error.code), PATIENTLY)
      .toBe("OVERLOADED");
  });
});

test("messages that wait for their commit are limited too", async (t) => {
  const { worker, release } = held();
  const gateway = fakeGateway();
  const commit = Promise.withResolvers<void>();
  await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [worker],
    limits: { maxWaitingAccepts: 2 },
    interfere: (ownership) => ({
      accept: (message, at) => commit.promise.then(() => ownership.accept(message, at)),
    }),
  });
  const accepted = [gateway.say("a", { threadTs: "T1" }), gateway.say("b", { threadTs: "T2" })];

  await expect(gateway.say("c", { threadTs: "T3" })).rejects.toMatchObject({
    code: "OVERLOADED",
    retryAfterMs: 1000,
    message: expect.stringContaining("maxWaitingAccepts (2)"),
  });

  commit.resolve();
  await Promise.all(accepted);
  await gateway.say("c", { threadTs: "T3" });
  release();
});

describe("the count of open messages", () => {
  const limits = { maxOpenMessages: 100, maxWaitingAccepts: 100 };

  /** What `admit` meets, over a database that says it holds `open` messages. */
  function create(open: () => number, log: Logger = silentLogger) {
    const clock = createTestClock();
    let counted = 0;
    const countOpen = async () => {
      counted += 1;
      return open();
    };
    const overload = new Overload({ store: { countOpen }, clock, limits, log });
    const accept = () => {
      overload.admit({ isControl: false });
      overload.stored(true);
    };
    return { overload, clock, accept, counted: () => counted };
  }

  test("reads the database neither for each message nor while none come", async () => {
    const { overload, clock, accept, counted } = create(() => 0);
    for (let index = 0; index < 90; index += 1) accept();
    await clock.advance(3_600_000);
    expect(counted()).toBe(1);

    accept();
    expect(counted()).toBe(2);
    overload.ended();
  });

  test("is corrected by the database within seconds, whatever memory believes", async () => {
    let open = 100;
    const { overload, clock, accept } = create(() => open);
    await overload.count();
    expect(accept).toThrow("maxOpenMessages");
    open = 50; // another process has ended them

    await clock.advance(1000);
    expect(accept).toThrow("maxOpenMessages"); // counts
    await clock.advance(0);

    accept();
  });

  test("that stays at its limit is told of once, not with each message that ends and each that takes its place", () => {
    const log = keptLog();
    const { overload, accept } = create(() => 0, log);
    for (let index = 0; index < 100; index += 1) accept();

    for (let index = 0; index < 50; index += 1) {
      expect(accept).toThrow("maxOpenMessages");
      overload.ended();
      accept();
    }
    expect(log.lines.map(({ message }) => message)).toEqual([
      "too many messages; new ones are refused for now",
    ]);

    for (let index = 0; index < 20; index += 1) overload.ended();
    accept();
    expect(log.lines.at(-1)?.message).toBe("messages are accepted again");
  });

  test("does not forget what was accepted while the database was counted", async () => {
    const { overload, accept } = create(() => 0);
    const counting = overload.count();
    for (let index = 0; index < 100; index += 1) accept();
    await counting;

    expect(accept).toThrow("maxOpenMessages");
  });

  test("holds on to memory's while the database is away", async () => {
    const { overload, accept } = create(() => {
      throw new Error("away");
    });
    await overload.count();

    for (let index = 0; index < 100; index += 1) accept();
    expect(accept).toThrow("maxOpenMessages");
  });
});
