/** Runs that meet a crash, a stop, an answer or trouble at an unlucky instant: nothing is done twice, lost, or waits for ever. */
import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop, startLateLoop } from "../testing/interfered-loop.ts";
import { startTestLoop, stopWithin, type TestLoopOptions } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { WorkerError } from "./errors.ts";
import type { RunRules } from "./run.ts";
import type { MessageStatus } from "./store.ts";
import type { Worker, WorkerContext } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
/** Where each look moves the clock: no faster than the database can follow. */
const PACED = { timeout: 30_000, interval: 50 };
const DAY_MS = 24 * 60 * 60_000;

function long(handle: (context: WorkerContext) => Promise<unknown>, run: RunRules = {}): Worker {
  return aWorker(async (_message, _args, context) => handle(context), {
    name: "long",
    command: "/long",
    run,
  });
}

const asking = (timeoutMs?: number) =>
  long(async ({ ask, emit }) => {
    const answer = await ask("sure", { text: "Sure?", ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    await emit("completed", `It is ${answer?.value}`);
  });

describe.each(databaseKinds)("a run on $name", ({ create }) => {
  async function start(t: TestEnd, options: TestLoopOptions) {
    const gateway = fakeGateway();
    const location = options.location ?? (await create(t));
    const running = await startTestLoop(t, { gateways: [gateway], ...options, location });
    return { ...running, gateway, location };
  }

  /** A loop in which `meanwhile` is done when its run has begun to wait, before the loop knows of it. */
  async function interfered(
    t: TestEnd,
    { worker, meanwhile }: { worker: Worker; meanwhile(id: number): Promise<unknown> },
  ) {
    const gateway = fakeGateway();
    const location = await create(t);
    const statuses: MessageStatus[] = ["waiting"];
    const running = await startLateLoop(t, {
      ...{ location, gateways: [gateway], workers: [worker], statuses, meanwhile },
    });
    return { ...running, gateway };
  }

  test("that is answered before the loop knows that it waits goes on at once, whatever time it had", async (t) => {
    const running = await interfered(t, {
      worker: asking(DAY_MS),
      meanwhile: async (id) => {
        await running.store.runs.answer(id, { value: "so", by: "Ann", at: running.clock.now() });
        await expect.poll(() => running.takings(), PATIENTLY).toBe(1);
      },
    });
    await running.gateway.say("/long");
    await expect.poll(() => running.gateway.texts().at(-1), PATIENTLY).toBe("completed: It is so");
  });

  test("that is stopped before the loop knows that it waits is stopped", async (t) => {
    const running = await interfered(t, {
      worker: asking(),
      meanwhile: async (id) => expect(running.loop.control?.stop(id, "Ann")).toBe(true),
    });
    const { conversationId } = await running.gateway.say("/long");
    const run = () => running.store.runs.run(conversationId);
    await expect.poll(run, PATIENTLY).toMatchObject({ status: "stopped", reason: "Stopped by Ann" });
    expect(await running.store.conversation(conversationId)).toMatchObject({ status: "done" });
  });

  test("of a worker for short work that is stopped before the loop knows that it waits ends with it", async (t) => {
    const worker = aWorker(async (_message, _args, { ask }) => ask("sure", { text: "Sure?" }), {
      name: "short",
      command: "/short",
    });
    const running = await interfered(t, {
      worker,
      meanwhile: async (id) => expect(running.loop.control?.stop(id, "Ann")).toBe(true),
    });
    const { conversationId } = await running.gateway.say("/short");
    const run = () => running.store.runs.run(conversationId);
    await expect.poll(run, PATIENTLY).toMatchObject({ status: "stopped", reason: "Stopped by Ann" });
  });

  test("keeps what a step has done beside the one that waits", async (t) => {
    const done: string[] = [];
    const worker = long(async ({ step, ask, emit }) => {
      const asked = Promise.withResolvers<void>();
      const slow = step("slow", async () => {
        await asked.promise;
        done.push("slow");
      });
      const answer = ask("sure", { text: "Sure?" });
      answer.catch(() => asked.resolve());
      await Promise.all([slow, answer]);
      await emit("completed", "Done");
    });
    const { gateway, idle, store, clock } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({
      status: "waiting",
      steps: [{ result: "null" }],
    });
    await store.runs.answer(conversationId, { value: "so", by: "Ann", at: clock.now() });
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: Done");
    expect(done).toEqual(["slow"]);
  });

  test("does not keep a step that has swallowed what it waits for", async (t) => {
    const worker = long(async ({ step, ask }) => {
      await step("outer", async () =>
        step("inner", async () => void (await ask("sure", { text: "Sure?" }).catch(() => 1))),
      );
    });
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({
      status: "waiting",
      steps: [
        { name: "outer", result: null },
        { name: "inner", result: null },
      ],
    });
  });

  test("takes the answer for the question that it has open, not for one whose time is over", async (t) => {
    const worker = long(async ({ ask, emit }) => {
      const first = await ask("first", { text: "First?", timeoutMs: 60_000 });
      const second = await ask("second", { text: "Second?" });
      await emit("completed", `${first?.value} ${second?.value}`);
    });
    const { gateway, idle, clock } = await start(t, { workers: [worker] });
    await gateway.say("/long", { threadTs: "T1" });
    await idle();
    const asked = async () => {
      await clock.advance(60_000);
      await idle();
      return gateway.texts();
    };
    await expect.poll(asked, PATIENTLY).toHaveLength(2);
    await gateway.say("blue", { threadTs: "T1" });
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: undefined blue");
  });

  test("whose worker awaits no step ends with its message all the same", async (t) => {
    const worker = aWorker(
      async (_message, _args, { step, emit }) => {
        void step("once", async () => 1).catch(() => undefined);
        // The step has been handed over to the database by then.
        for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
        await new Promise((resolve) => setImmediate(resolve));
        void emit("completed", "Done");
      },
      { name: "hasty" },
    );
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    await gateway.say("hello");
    await idle();
    expect(gateway.texts()).toEqual(["completed: Done"]);
    expect(await store.runs.runs({ isOpen: true })).toEqual([]);
  });

  test("of a worker for short work is done when it is retried, even if no step is left to be done", async (t) => {
    let isBroken = true;
    const worker = aWorker(
      async (_message, _args, { step, emit }) => {
        await step("once", async () => 1);
        if (isBroken) throw new WorkerError("no such thing", { retry: "never" });
        await emit("completed", "Done");
      },
      { name: "short" },
    );
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("hello");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "dead" });
    isBroken = false;
    await store.runs.reopen(conversationId);
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: Done");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "done", round: 2 });
  });

  test("that may not go on because another has its lane says so, after an end of its own too", async (t) => {
    const going = Promise.withResolvers<void>();
    let count = 0;
    const worker = long(
      async ({ emit }) => {
        count += 1;
        if (count === 1) return emit("failed", "No luck");
        await going.promise;
      },
      { lane: () => "one" },
    );
    const { gateway, idle, store, clock } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long", { threadTs: "T1" });
    await idle();
    const second = await gateway.say("/long", { threadTs: "T2" });
    await expect.poll(() => store.runs.runs({ isOpen: true }), PATIENTLY).toHaveLength(1);
    for (let retry = 2; retry < 4; retry += 1) {
      await clock.advance(1);
      await store.runs.reopen(conversationId);
      await expect.poll(() => gateway.texts(), PATIENTLY).toHaveLength(retry);
      expect(gateway.texts().at(-1)).toContain(`Run ${second.conversationId} is at this already`);
    }
    going.resolve();
    await idle();
  });

  test("whose end is written by something that the store does not know ends all the same", async (t) => {
    const worker = long(async () => Promise.reject(new WorkerError("no", { retry: "never" })), {
      lane: () => "one",
      endWrites: () => [{ kind: "nobody knows this" }],
    });
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "dead", reason: "no" });
    expect(await store.conversation(conversationId)).toMatchObject({ status: "dead" });
    expect(gateway.texts()).toEqual([expect.stringContaining("failed: I could not do this: no")]);
  });

  test("whose channel is not allowed any more writes what belongs to that end", async (t) => {
    const ends: unknown[] = [];
    const never = new Promise<void>(() => undefined);
    const make = () => long(async () => never, { endWrites: (_args, end) => (ends.push(end) > 0 ? [] : []) });
    const first = await start(t, { workers: [make()], limits: { stopGraceMs: 0 } });
    const { conversationId } = await first.gateway.say("/long");
    await expect.poll(() => first.store.runs.runs({ isOpen: true }), PATIENTLY).toHaveLength(1);
    await first.stop();
    const gateway = fakeGateway({ isPublic: true });
    const { idle, store } = await start(t, {
      location: first.location,
      gateways: [gateway],
      workers: [make()],
    });
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "failed" });
    expect(ends).toMatchObject([{ run: conversationId, status: "dead", reason: expect.any(String) }]);
  });

  describe("that was interrupted often", () => {
    /** Messages that a process left at work, each as often as may be without being given up at once. */
    async function interrupted(t: TestEnd, count: number) {
      const location = await create(t);
      const store = await openStore(location);
      const ownership = await store.own({ owner: "first", gateways: ["fake"], now: 0 });
      const ids: number[] = [];
      for (let index = 0; index < count; index += 1) {
        const message = aMessage({ gateway: "fake", content: "/long", threadTs: `T${index}` });
        const { conversationId } = await ownership.accept(message, {
          shard: 0,
          status: "claimed",
          attempts: 1,
        });
        const begin = { ...RUN, round: 1 };
        const claimed = { ...CLAIMED, conversationId };
        await ownership.record({ shard: 0, message: claimed, run: { conversationId, begin } });
        ids.push(conversationId);
      }
      await ownership.release();
      await store.close();
      return { location, ids };
    }

    test("has all its attempts before it again once a step is done", async (t) => {
      const { location, ids } = await interrupted(t, 1);
      const hang = new Promise<void>(() => undefined);
      const make = () =>
        long(async ({ step, emit }) => {
          const isFirst = await step("first", async () => true);
          await step("second", async ({ attempt }) => (isFirst && attempt < 4 ? hang : undefined));
          await emit("completed", "Done");
        });
      // Each process ends as if it was killed: what it holds is left behind.
      for (let process = 1; process <= 3; process += 1) {
        const gateway = fakeGateway();
        const running = await startInterferedLoop(t, {
          ...{ location, gateways: [gateway], workers: [make()], limits: { ...LIMITS, stopGraceMs: 0 } },
          interfere: (ownership) => ({
            record: async (change) => (change.message?.status === "pending" ? [] : ownership.record(change)),
          }),
        });
        const attempts = async () => {
          await running.clock.advance(2000);
          return (await running.store.runs.run(ids[0] ?? 0))?.steps[1]?.attempts;
        };
        await expect.poll(attempts, PACED).toBe(process);
        await stopWithin(running.loop, running.clock);
        await running.store.close();
      }
      const { gateway, clock } = await start(t, { location, workers: [make()], limits: LIMITS });
      const texts = async () => {
        await clock.advance(2000);
        return gateway.texts();
      };
      await expect.poll(texts, PACED).toEqual(["completed: Done"]);
    });

    test("lets the next suspect begin once it has done a step", async (t) => {
      const { location } = await interrupted(t, 2);
      let second = 0;
      const both = Promise.withResolvers<void>();
      const worker = long(async ({ step, emit }) => {
        await step("first", async () => 1);
        await step("second", async () => {
          second += 1;
          if (second === 2) both.resolve();
          await both.promise;
        });
        await emit("completed", "Done");
      });
      const { gateway, clock } = await start(t, { location, workers: [worker], limits: LIMITS });
      const texts = async () => {
        await clock.advance(2000);
        return gateway.texts();
      };
      await expect.poll(texts, PACED).toHaveLength(2);
    });
  });
});

const RUN = { worker: "long", version: 1, isDetached: true, lane: null, title: "A run", createdAt: 1 };
const CLAIMED = {
  status: "claimed",
  attempts: 3,
  interruptions: 2,
  nextAttemptAt: null,
  lastError: null,
} as const;
/** One more interruption is the last; the worker's time is longer than the test lets pass. */
const LIMITS = { maxInterruptions: 4, workerTimeoutMs: 10 * DAY_MS };
