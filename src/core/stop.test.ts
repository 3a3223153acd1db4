import { describe, expect, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog, startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";

describe.each(databaseKinds)("a graceful stop on $name", ({ create }) => {
  test("lets the work under way end, and its answer go out", async (t) => {
    const gateway = fakeGateway();
    const begun = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const worker = aWorker(async (_message, _args, { emit }) => {
      begun.resolve();
      await release.promise;
      await emit("completed", "in time");
    });
    const { loop } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [worker],
    });
    await gateway.say("go");
    await begun.promise;

    const stopped = loop.stop();
    release.resolve();
    await stopped;

    expect(gateway.texts()).toEqual(["completed: in time"]);
    expect(loop.health()).toMatchObject({ isReady: false, reason: "The loop is stopped" });
  });

  test("lets the answers go out that are stored while open deliveries are read", async (t) => {
    const gateway = fakeGateway();
    const read = Promise.withResolvers<void>();
    const isRecorded = Promise.withResolvers<void>();
    const { loop } = await startInterferedLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
      interfere: (ownership) => ({
        async openDeliveries(page) {
          const rows = await ownership.openDeliveries(page);
          await read.promise;
          return rows;
        },
        async record(change) {
          const events = await ownership.record(change);
          if (change.message?.status === "done") isRecorded.resolve();
          return events;
        },
      }),
    });
    await gateway.say("/echo ready");
    await isRecorded.promise;

    const stopped = loop.stop();
    for (let turns = 0; turns < 20; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    read.resolve();
    await stopped;

    expect(gateway.texts()).toEqual(["completed: ready"]);
  });

  test("takes nothing more, and says so", async (t) => {
    const gateway = fakeGateway();
    const { loop } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });
    const stopped = loop.stop();

    await expect(gateway.say("/echo late")).rejects.toMatchObject({ code: "STOPPING" });
    await stopped;
    expect(gateway.sent).toEqual([]);
  });

  test("hands back what does not end within the grace, without counting the attempt", async (t) => {
    const location = await create(t);
    const gateway = fakeGateway();
    const signals: AbortSignal[] = [];
    const reported: unknown[] = [];
    const worker = aWorker(async (_message, _args, { signal, emit, attempt }) => {
      signals.push(signal);
      if (attempt === 1 && signals.length === 1) {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await emit("completed", "too late").catch((error) => reported.push(error));
        return;
      }
      await emit("completed", `attempt ${attempt}`);
    });
    const first = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });
    await gateway.say("go");
    await expect.poll(() => signals.length).toBe(1);
    await first.stop();

    expect(signals[0]?.aborted).toBe(true);
    expect(reported).toMatchObject([{ code: "STOPPING" }]);
    const again = fakeGateway();
    const second = await startTestLoop(t, { location, gateways: [again], workers: [worker] });
    await second.idle();
    expect(again.texts()).toEqual(["completed: attempt 1"]);
  });

  test("twice is the same as once", async (t) => {
    const { loop } = await startTestLoop(t, { location: await create(t), gateways: [fakeGateway()] });

    await Promise.all([loop.stop(), loop.stop()]);
    await loop.stop();
    expect(loop.health().isReady).toBe(false);
  });

  test("leaves a loop that is idle, whatever it has not read yet", async (t) => {
    const { loop } = await startTestLoop(t, { location: await create(t), gateways: [fakeGateway()] });
    await loop.stop(); // before it has read what is open

    await loop.idle();
  });
});

describe("a worker's time", () => {
  test("a worker that takes too long is aborted, its asker is told, and what it says later is refused", async (t) => {
    const gateway = fakeGateway();
    const begun = Promise.withResolvers<void>();
    const late = Promise.withResolvers<unknown>();
    const worker = aWorker(
      async (_message, _args, { signal, emit }) => {
        begun.resolve();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        emit("completed", "at last").then(late.resolve, late.resolve);
      },
      { timeoutMs: 1000 },
    );
    const { idle, clock } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });
    await gateway.say("go");
    await begun.promise;
    await clock.advance(1000);
    await idle();

    expect(gateway.texts()).toEqual([expect.stringMatching(/^failed: .*took longer than 1000 ms/)]);
    expect(await late.promise).toMatchObject({ code: "WORKER_TIMED_OUT" });
  });

  test("an emit after the worker has returned is refused", async (t) => {
    const gateway = fakeGateway();
    const late = Promise.withResolvers<unknown>();
    const worker = aWorker(async (_message, _args, { emit }) => {
      setImmediate(() => setImmediate(() => emit("progress", "too late").then(late.resolve, late.resolve)));
    });
    const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });

    await gateway.say("go");
    expect(await late.promise).toMatchObject({ code: "WORKER_ENDED" });
    await idle();
    expect(gateway.sent).toEqual([]);
  });

  test("a worker that goes on after its signal was aborted is reported, one that ends in time is not", async (t) => {
    const gateway = fakeGateway();
    const log = keptLog();
    const end = Promise.withResolvers<void>();
    const deaf = aWorker(() => end.promise, { name: "deaf", command: "/deaf", timeoutMs: 1000 });
    const obedient = aWorker(
      async (_message, _args, { signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
      { name: "obedient", command: "/obedient", timeoutMs: 1000 },
    );
    const options = {
      gateways: [gateway],
      workers: [deaf, obedient],
      limits: { workerAbortGraceMs: 2000 },
      log,
    };
    const { clock, loop } = await startTestLoop(t, options);
    const reports = () =>
      log.lines.filter(({ message }) => message.includes("although its signal was aborted"));
    await gateway.say("/deaf", { threadTs: "T1" });
    await gateway.say("/obedient", { threadTs: "T2" });
    await expect
      .poll(() => loop.control?.openMessages().filter(({ state }) => state === "running").length)
      .toBe(2);

    await clock.advance(1000);
    await expect.poll(() => gateway.sent.length).toBe(2);
    await clock.advance(1999);
    expect(reports()).toEqual([]);
    await clock.advance(1);

    expect(reports()).toMatchObject([{ level: "warn", fields: { worker: "deaf", afterMs: 2000 } }]);
    end.resolve();
  });
});
