/** Long work: steps are done once, effects adopted, what waits holds nothing, and a thread is never blocked by its run. */
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop, type TestLoopOptions } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { WorkerError } from "./errors.ts";
import type { RunRules } from "./run.ts";
import type { Worker, WorkerContext } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
const MINUTE_MS = 60_000;

/** A worker for long work. */
function long(handle: (context: WorkerContext) => Promise<unknown>, run: RunRules = {}): Worker {
  return aWorker(async (_message, _args, context) => handle(context), {
    name: "long",
    command: "/long",
    run,
  });
}

describe.each(databaseKinds)("a run on $name", ({ create }) => {
  async function start(t: TestEnd, options: TestLoopOptions) {
    const gateway = fakeGateway();
    const location = options.location ?? (await create(t));
    const running = await startTestLoop(t, { gateways: [gateway], ...options, location });
    return { ...running, gateway, location };
  }

  test("does each step once, whatever fails after it", async (t) => {
    const done: string[] = [];
    const worker = long(async ({ step, emit, attempt }) => {
      await emit("started", "Begun");
      const first = await step("first", async ({ emit }) => {
        done.push("first");
        emit("progress", "First is done");
        return { size: 3 };
      });
      const second = await step("second", async () => {
        done.push("second");
        if (attempt === 1) throw new Error("not yet");
        return first.size + 1;
      });
      await emit("completed", `All ${second}`);
    });
    const { gateway, clock, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    await clock.advance(MINUTE_MS);
    await idle();

    expect(done).toEqual(["first", "second", "second"]);
    expect(gateway.texts()).toEqual(["started: Begun", "progress: First is done", "completed: All 4"]);
    expect(await store.runs.run(conversationId)).toMatchObject({
      status: "done",
      worker: "long",
      title: "/long",
      steps: [
        { name: "first", ordinal: 0, attempts: 1, result: '{"size":3}' },
        { name: "second", ordinal: 1, attempts: 2, result: "4" },
      ],
    });
  });

  test("adopts an effect that happened before the crash", async (t) => {
    const outside: string[] = [];
    let isDown = true;
    const worker = long(async ({ effect, emit }) => {
      const number = await effect("open", () => ({
        key: "robson/PROJ-1",
        find: async () => (outside.length > 0 ? outside.length : undefined),
        make: async () => {
          outside.push("opened");
          if (isDown) throw new Error("the connection broke after the call");
          return outside.length;
        },
      }));
      await emit("completed", `Number ${number}`);
    });
    const { gateway, clock, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({
      effects: [{ step: "open", key: "robson/PROJ-1", outcome: "intended" }],
    });
    isDown = false;
    await clock.advance(MINUTE_MS);
    await idle();

    expect(outside).toEqual(["opened"]);
    expect(gateway.texts()).toEqual(["completed: Number 1"]);
    expect(await store.runs.run(conversationId)).toMatchObject({ effects: [{ outcome: "found" }] });
  });

  test("goes on in the next process where it was", async (t) => {
    const done: string[] = [];
    const hang = Promise.withResolvers<void>();
    const make = (isSecond: boolean) =>
      long(async ({ step, emit }) => {
        await step("first", async () => void done.push("first"));
        await step("second", async () => {
          done.push("second");
          if (!isSecond) await hang.promise;
        });
        await emit("completed", "Done");
      });
    const first = await start(t, { workers: [make(false)], limits: { stopGraceMs: 0 } });
    await first.gateway.say("/long");
    await expect.poll(() => done, PATIENTLY).toEqual(["first", "second"]);
    await first.stop();
    const { gateway, idle } = await start(t, { location: first.location, workers: [make(true)] });
    await idle();

    expect(done).toEqual(["first", "second", "second"]);
    expect(gateway.texts()).toEqual(["completed: Done"]);
    hang.resolve();
  });

  test("does not block its thread, and has its own limit", async (t) => {
    const going = Promise.withResolvers<void>();
    const worker = long(async ({ emit }) => {
      await going.promise;
      await emit("completed", "Long is done");
    });
    const echo = aWorker(async ({ content }, _args, { emit }) => emit("completed", content), {
      name: "echo",
    });
    const { gateway, idle } = await start(t, {
      workers: [worker, echo],
      limits: { maxConcurrentMessages: 1, maxConcurrentRuns: 1 },
    });
    await gateway.say("/long", { threadTs: "T1" });
    await gateway.say("hello", { threadTs: "T1" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: hello"]);
    going.resolve();
    await idle();
    expect(gateway.texts()).toEqual(["completed: hello", "completed: Long is done"]);
  });

  test("of a lane that is taken is refused with who is at it", async (t) => {
    const going = Promise.withResolvers<void>();
    const worker = long(async ({ emit }) => going.promise.then(() => emit("completed", "Done")), {
      lane: () => "task PROJ-1",
      title: () => "PROJ-1",
    });
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const first = await gateway.say("/long", { threadTs: "T1" });
    await expect.poll(() => store.runs.runs({ isOpen: true }), PATIENTLY).toHaveLength(1);
    await gateway.say("/long", { threadTs: "T2" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toHaveLength(1);
    expect(gateway.texts()[0]).toContain(`Run ${first.conversationId} is at this already: PROJ-1`);
    going.resolve();
    await idle();
    await gateway.say("/long", { threadTs: "T3" });
    await idle();
    expect(gateway.texts().slice(1)).toEqual(["completed: Done", "completed: Done"]);
  });

  test("waits for an answer without being in memory, and goes on with it", async (t) => {
    let begun = 0;
    const worker = long(async ({ ask, step, emit }) => {
      begun += 1;
      await step("first", async () => "kept");
      const answer = await ask("sure", { text: "Are you sure?", choices: ["yes", "no"] });
      await emit("completed", `${answer?.by} said ${answer?.value}`);
    });
    const { gateway, idle, store, loop, clock } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(loop.health().openMessages).toBe(0);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "waiting" });
    expect(gateway.texts()[0]).toContain("Are you sure?");

    expect(await store.runs.answer(conversationId, { value: "yes", by: "Ann", at: clock.now() })).toBe(true);
    expect(await store.runs.answer(conversationId, { value: "no", by: "Bob", at: clock.now() })).toBe(false);
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: Ann said yes");
    await idle();
    expect(begun).toBe(2);
    expect(gateway.texts()).toHaveLength(2);
  });

  test("wakes when its time has come, after a restart too", async (t) => {
    const worker = () =>
      long(async ({ sleep, emit }) => {
        await sleep("a while", 10 * MINUTE_MS);
        await emit("completed", "Awake");
      });
    const first = await start(t, { workers: [worker()] });
    await first.gateway.say("/long");
    await first.idle();
    await first.stop();
    const second = await start(t, { location: first.location, workers: [worker()] });
    const { gateway, clock, store, idle } = second;
    await clock.advance(9 * MINUTE_MS);
    expect(gateway.texts()).toEqual([]);
    expect(await store.runs.runs({ isOpen: true })).toMatchObject([{ status: "waiting" }]);
    await expect
      .poll(async () => {
        await clock.advance(MINUTE_MS);
        await idle();
        return gateway.texts();
      }, PATIENTLY)
      .toEqual(["completed: Awake"]);
  });

  test("takes an event that came before it waited, and one that comes later", async (t) => {
    const worker = long(async ({ waitFor, emit }) => {
      const first = await waitFor("early", { key: "early" });
      const second = await waitFor("late", { key: "late" });
      await emit("completed", JSON.stringify([first, second]));
    });
    const { gateway, store, clock } = await start(t, { workers: [worker] });
    expect(await store.runs.signal("early", { value: 1, at: clock.now() })).toBe(0);
    const { conversationId } = await gateway.say("/long");
    const waitsFor = async () => (await store.runs.run(conversationId))?.decisions.map(({ key }) => key);
    await expect.poll(waitsFor, PATIENTLY).toEqual(["early", "late"]);
    expect(await store.runs.signal("late", { value: 2, at: clock.now() })).toBe(1);
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: [1,2]"]);
  });

  test("that swallows its waiting is not complete", async (t) => {
    const worker = long(async ({ ask, emit }) => {
      await ask("sure", { text: "Sure?" }).catch(() => undefined);
      await emit("completed", "Too early").catch(() => undefined);
    });
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "waiting" });
    expect(gateway.texts()).toHaveLength(1);
  });

  test("is stopped while it waits, and goes on when a person has it retried", async (t) => {
    const done: string[] = [];
    const worker = long(async ({ step, ask, emit }) => {
      await step("first", async () => void done.push("first"));
      const answer = await ask("sure", { text: "Sure?" });
      await emit("completed", `It is ${answer?.value}`);
    });
    const { gateway, idle, store, clock } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.requestStop(conversationId, "Ann")).toBe(true);
    await expect.poll(() => store.runs.run(conversationId), PATIENTLY).toMatchObject({ status: "stopped" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toHaveLength(2);
    expect(gateway.texts()[1]).toContain("Stopped by Ann.");

    expect(await store.runs.reopen(conversationId)).toBe(true);
    await expect
      .poll(() => store.runs.run(conversationId), PATIENTLY)
      .toMatchObject({ status: "waiting", round: 2 });
    await idle();
    expect(gateway.texts().filter((text) => text.includes("Sure?"))).toHaveLength(2);
    await store.runs.answer(conversationId, { value: "so", by: "Ann", at: clock.now() });
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: It is so");
    expect(done).toEqual(["first"]);
  });

  test("that failed goes on after its steps, and its second end is told too", async (t) => {
    let isBroken = true;
    const done: string[] = [];
    const worker = long(async ({ step, emit }) => {
      await step("first", async () => void done.push("first"));
      if (isBroken) return emit("failed", "The checks failed\nTry again");
      await emit("completed", "Done");
    });
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(await store.runs.run(conversationId)).toMatchObject({
      status: "failed",
      reason: "The checks failed",
    });
    isBroken = false;
    await store.runs.reopen(conversationId);
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: Done");
    expect(done).toEqual(["first"]);
    expect(await store.runs.reopen(0)).toBe(false);
  });

  test("that is a dead letter says how to go on, and does", async (t) => {
    let isBroken = true;
    const worker = long(async ({ emit }) => {
      if (isBroken) throw new WorkerError("no such thing", { retry: "never" });
      await emit("completed", "Done");
    });
    const { gateway, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("/long");
    await idle();
    expect(gateway.texts()[0]).toContain(`\`/retry ${conversationId}\` goes on with it`);
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "dead" });
    isBroken = false;
    const [letter] = await store.deadLetters({ limit: 1 });
    if (letter) await store.retryDeadLetter(letter);
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: Done");
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "done", round: 2 });
  });

  test("of a worker for short work has steps too, and stays in its thread", async (t) => {
    const done: string[] = [];
    const worker = aWorker(
      async ({ content }, _args, { step, attempt, emit }) => {
        await step("once", async () => void done.push(content));
        if (attempt === 1) throw new Error("not yet");
        await emit("completed", content);
      },
      { name: "short" },
    );
    const { gateway, clock, idle, store } = await start(t, { workers: [worker] });
    const { conversationId } = await gateway.say("hello");
    await idle();
    await clock.advance(MINUTE_MS);
    await idle();
    expect(done).toEqual(["hello"]);
    expect(gateway.texts()).toEqual(["completed: hello"]);
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "done", isDetached: false });
  });

  test("whose worker has changed its steps' meaning says that it cannot go on", async (t) => {
    const hang = new Promise<void>(() => undefined);
    const first = await start(t, { workers: [long(async () => hang)], limits: { stopGraceMs: 0 } });
    await first.gateway.say("/long");
    await expect.poll(() => first.store.runs.runs({ isOpen: true }), PATIENTLY).toHaveLength(1);
    await first.stop();
    const { gateway, idle } = await start(t, {
      location: first.location,
      workers: [long(async ({ emit }) => emit("completed", "Done"), { version: 2 })],
    });
    await idle();
    expect(gateway.texts()[0]).toContain('was begun by version 1 of "long", and this program has version 2');
  });

  test("whose worker is gone is a dead letter that says so", async (t) => {
    const hang = new Promise<void>(() => undefined);
    const first = await start(t, { workers: [long(async () => hang)], limits: { stopGraceMs: 0 } });
    await first.gateway.say("/long");
    await expect.poll(() => first.store.runs.runs({ isOpen: true }), PATIENTLY).toHaveLength(1);
    await first.stop();
    const { gateway, idle, store } = await start(t, { location: first.location, workers: [] });
    await idle();
    expect(gateway.texts()[0]).toContain('its worker "long" is not here');
    expect(await store.runs.runs({ isOpen: false })).toMatchObject([{ status: "dead" }]);
  });

  test("that a person stops writes what belongs to that end", async (t) => {
    const { store, ...running } = await start(t, {
      workers: [
        long(async () => new Promise<void>(() => undefined), {
          endWrites: (_args, { status, reason, at }) => [
            {
              kind: "task-status",
              key: "PROJ-1",
              change: { status: "unfinished", error: `${status}: ${reason}` },
              at,
            },
          ],
        }),
      ],
    });
    const project = { project: "PROJ", summary: "s", description: "", repoUrls: [] };
    await store.tasks.create({ key: "PROJ-1", ...project });
    const { conversationId } = await running.gateway.say("/long");
    await expect.poll(() => running.loop.control?.openMessages()[0]?.state, PATIENTLY).toBe("running");
    running.loop.control?.stop(conversationId, "Ann");
    await running.idle();
    expect(await store.tasks.get("PROJ-1")).toMatchObject({
      status: "unfinished",
      error: "stopped: Stopped by Ann",
    });
  });

  test.for<[string, (context: WorkerContext) => Promise<unknown>, string]>([
    [
      "two steps of one name",
      async ({ step }) => step("a", async () => step("a", async () => 2)),
      'two steps of the name "a"',
    ],
    ["a result that is no JSON", ({ step }) => step("a", async () => 1n), "nothing that JSON can hold"],
    [
      "a result that is too large",
      ({ step }) => step("a", async () => "x".repeat(300)),
      "the limit maxStepResultBytes is 200",
    ],
    [
      "too many steps",
      ({ step }) => Promise.all(["a", "b", "c"].map((name) => step(name, async () => 1))),
      "no more than 2 steps",
    ],
  ])("with %s is refused with what to do", async ([, handle, text], t) => {
    const { gateway, idle } = await start(t, {
      workers: [long(handle)],
      limits: { maxStepResultBytes: 200, maxStepsPerRun: 2 },
    });
    await gateway.say("/long");
    await idle();
    expect(gateway.texts()[0]).toContain(text);
  });
});
