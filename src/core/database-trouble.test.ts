import { describe, expect, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog, startInterferedLoop } from "../testing/interfered-loop.ts";
import { stopWithin } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { type ErrorCode, RobsonError, WorkerError } from "./errors.ts";
import type { Accepted } from "./gateway.ts";

const MINUTE_MS = 60_000;
const PATIENTLY = { timeout: 20_000 };

const trouble = (code: ErrorCode) => new RobsonError(code, "Cannot write", { hint: "Look at the database" });

describe("an accept whose outcome is unknown", () => {
  /** A loop whose database loses the connection at one accept, and commits it when the test says so. */
  async function start(t: TestEnd) {
    const gateway = fakeGateway();
    let commit: (() => Promise<Accepted>) | undefined;
    const running = await startInterferedLoop(t, {
      gateways: [gateway],
      workers: [echo],
      interfere: (ownership) => ({
        async accept(message, at) {
          if (commit) return ownership.accept(message, at);
          commit = () => ownership.accept(message, at);
          throw trouble("STORE_UNAVAILABLE");
        },
      }),
    });
    const said = gateway.say("/echo late", { idempotencyKey: "k1" });
    await expect(said).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await running.idle();
    const commitLate = async () => commit?.();
    return { ...running, gateway, commitLate };
  }

  test("is found within the minute when it was committed after all", async (t) => {
    const { gateway, clock, commitLate } = await start(t);
    await commitLate();
    await gateway.say("/echo meanwhile", { threadTs: "T2" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: meanwhile"]);

    await clock.advance(MINUTE_MS);

    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: meanwhile", "completed: late"]);
  });

  test("is handled at once when the platform sends it again, and only once", async (t) => {
    const { gateway, clock, idle, commitLate } = await start(t);
    await commitLate();

    const again = await gateway.say("/echo late", { idempotencyKey: "k1" });

    expect(again.isDuplicate).toBe(true);
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: late"]);
    await clock.advance(MINUTE_MS);
    await idle();
    expect(gateway.texts()).toEqual(["completed: late"]);
  });

  test("is handled once when it was never committed and is sent again", async (t) => {
    const { gateway, clock, idle } = await start(t);

    const again = await gateway.say("/echo late", { idempotencyKey: "k1" });

    expect(again.isDuplicate).toBe(false);
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: late"]);
    await clock.advance(MINUTE_MS);
    await idle();
    expect(gateway.texts()).toEqual(["completed: late"]);
  });
});

const PASSING = [
  "STORE_BUSY",
  "STORE_UNAVAILABLE",
  "STORE_FULL",
  "STORE_READ_ONLY",
  "STORE_UNREADABLE",
] as const;

test.for(PASSING)(
  "a write that meets %s is tried again until it is taken, and counts no attempt",
  async (code, t) => {
    const gateway = fakeGateway();
    let failures = 0;
    const attempts: number[] = [];
    const worker = aWorker(async (_message, _args, { attempt, emit }) => {
      attempts.push(attempt);
      await emit("completed", "done");
    });
    const { clock, store } = await startInterferedLoop(t, {
      gateways: [gateway],
      workers: [worker],
      interfere: (ownership) => ({
        async record(change) {
          failures += 1;
          if (failures <= 3) throw trouble(code);
          return ownership.record(change);
        },
      }),
    });

    await gateway.say("go");
    await expect
      .poll(async () => {
        await clock.advance(1000);
        return gateway.texts();
      }, PATIENTLY)
      .toEqual(["completed: done"]);

    expect(attempts).toEqual([1]);
    expect(await (await store.sql()).read.selectFrom("failed_attempts").selectAll().execute()).toEqual([]);
  },
);

test("a message waits for one of its thread whose storing seemed to have failed, although it was under way by then", async (t) => {
  const gateway = fakeGateway();
  const firstIsLost = Promise.withResolvers<void>();
  const { idle } = await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [echo],
    interfere: (ownership) => ({
      async accept(message, at) {
        if (message.content === "/echo second") {
          await firstIsLost.promise;
          return ownership.accept(message, at);
        }
        await ownership.accept(message, at);
        // It is stored; its answer is lost with the connection.
        setImmediate(firstIsLost.resolve);
        throw trouble("STORE_UNAVAILABLE");
      },
    }),
  });
  await idle();

  const first = gateway.say("/echo first");
  const second = gateway.say("/echo second");
  await expect(first).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  await second;

  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: first", "completed: second"]);
});

test("an answer that the database refuses as such is not tried again: the message is a dead letter", async (t) => {
  const gateway = fakeGateway();
  const refused: string[] = [];
  const { store, idle } = await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [echo],
    interfere: (ownership) => ({
      async record(change) {
        const text = change.events?.[0]?.content;
        if (text !== "odd") return ownership.record(change);
        refused.push(text);
        throw trouble("STORE_REFUSED_ROW");
      },
    }),
  });

  const { conversationId } = await gateway.say("/echo odd");
  await idle();

  expect(refused).toEqual(["odd"]);
  expect(await store.deadLetters({ limit: 9 })).toMatchObject([{ conversationId }]);
  expect(gateway.texts()).toEqual([expect.stringMatching(/^failed: I could not do this: Cannot write/)]);
});

test("a message does not die without a word to its asker because the database is busy while the loop stops", async (t) => {
  const gateway = fakeGateway();
  const isTried = Promise.withResolvers<void>();
  const refusing = aWorker(async () => {
    throw new WorkerError("no", { retry: "never" });
  });
  const { loop, store, clock } = await startInterferedLoop(t, {
    ...{ gateways: [gateway], workers: [refusing], limits: { stopGraceMs: 0 } },
    interfere: (ownership) => ({
      async record(change) {
        if (change.message?.status !== "dead" || change.events?.length === 0) return ownership.record(change);
        isTried.resolve();
        throw trouble("STORE_BUSY");
      },
    }),
  });
  const { conversationId } = await gateway.say("/work");
  await isTried.promise;

  await stopWithin(loop, clock);

  expect(await store.conversation(conversationId)).toMatchObject({ status: "claimed" });
});

test("a message that met a fault of this program is tried again after a minute, and the fault is told", async (t) => {
  const gateway = fakeGateway();
  const log = keptLog();
  let isBroken = true;
  const { clock, idle, loop } = await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [echo],
    log,
    interfere: (ownership) => ({
      async record(change) {
        if (isBroken) throw new TypeError("a fault of this program");
        return ownership.record(change);
      },
    }),
  });

  await gateway.say("/echo in the end");
  await idle();
  expect(log.lines.filter(({ level }) => level !== "debug")).toMatchObject([
    { message: "loop started" },
    { level: "error", message: "unexpected error", fields: { error: "a fault of this program" } },
  ]);
  isBroken = false;
  await clock.advance(MINUTE_MS);
  await idle();

  expect(gateway.texts()).toEqual(["completed: in the end"]);
  expect(loop.health()).toMatchObject({ openMessages: 0, openDeliveries: 0 });
});
