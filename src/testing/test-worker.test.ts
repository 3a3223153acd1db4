import { expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { aWorker, echoWorker } from "./builders.ts";
import { testWorker } from "./test-worker.ts";

test("a message's events are what the worker reported", async (t) => {
  const worker = aWorker(async (_message, _args, { emit }) => {
    await emit("started", "on it");
    await emit("completed", "done");
  });

  expect(await testWorker(t, worker).say("anything")).toEqual([
    { kind: "started", content: "on it" },
    { kind: "completed", content: "done" },
  ]);
});

test("several messages are handled one after another, and each has its own events", async (t) => {
  const asker = testWorker(t, echoWorker);
  expect(await asker.say("/echo one")).toEqual([{ kind: "completed", content: "one" }]);
  expect(await asker.say("/echo two")).toEqual([{ kind: "completed", content: "two" }]);
});

test("a worker that fails is tried again until it recovers", async (t) => {
  const worker = aWorker(async (_message, _args, { emit, attempt }) => {
    if (attempt < 3) throw new Error("not yet");
    await emit("completed", `attempt ${attempt}`);
  });

  expect(await testWorker(t, worker).say("anything")).toEqual([{ kind: "completed", content: "attempt 3" }]);
});

test("of a worker that fails for good, what the asker is told is the last event", async (t) => {
  const worker = aWorker(async () => {
    throw new WorkerError("the build is red", { retry: "never", hint: "Repair the build" });
  });

  const [event, ...more] = await testWorker(t, worker).say("anything");

  expect(event).toMatchObject({
    kind: "failed",
    content: expect.stringMatching(/the build is red\nRepair the build/),
  });
  expect(more).toEqual([]);
});

test("who asks can be said", async (t) => {
  const worker = aWorker((message, _args, { emit }) =>
    emit("completed", `${message.userId} in ${message.threadTs}`),
  );
  expect(await testWorker(t, worker).say("anything", { userId: "ada", threadTs: "T7" })).toEqual([
    { kind: "completed", content: "ada in T7" },
  ]);
});

test("a worker that never ends is named, before the test runner gives up", async (t) => {
  const worker = aWorker(() => new Promise(() => undefined));

  const said = testWorker(t, worker, { maxWaitMs: 100 }).say("anything");

  await expect(said).rejects.toThrow('Worker "w" has not ended its message within 100 ms');
});

test("a worker that leaves its asker without an answer is told so; what was overheard needs none", async (t) => {
  const muttering = testWorker(
    t,
    aWorker((_message, _args, { emit }) => emit("progress", "…")),
  );
  const passing = testWorker(
    t,
    aWorker(async () => false),
  );

  await expect(muttering.say("anything")).rejects.toMatchObject({
    message: expect.stringContaining('Worker "w" has ended its message without completed or failed'),
    hint: expect.stringContaining("Emit one of the two before handle() returns"),
  });
  expect(await muttering.say("anything", { isAddressed: false })).toEqual([
    { kind: "progress", content: "…" },
  ]);
  expect(await passing.say("anything")).toMatchObject([{ kind: "completed" }]);
  expect(await passing.say("anything else")).toEqual([]);
});

test("a run is answered by its question's name, sleeps through, and waits for an event", async (t) => {
  const worker = aWorker(
    async (_message, _args, { step, ask, sleep, waitFor, emit }) => {
      await step("look", async ({ emit }) => emit("progress", "looking"));
      const answer = await ask("sure", { text: "Sure?", choices: ["yes", "no"], timeoutMs: 1000 });
      await sleep("a week", 7 * 24 * 3_600_000);
      const checks = await waitFor("checks", { key: "checks of 1" });
      await emit("completed", `${answer?.by} said ${answer?.value}, and the checks ${checks}`);
    },
    { command: "/long", run: {} },
  );
  const asker = testWorker(t, worker);
  const [looking, question] = await asker.say("/long");

  expect(looking).toEqual({ kind: "progress", content: "looking" });
  expect(question?.content).toContain("Sure?");
  await expect(asker.answer("shure", "yes")).rejects.toMatchObject({ hint: 'It asks "sure"' });
  await expect(asker.answer("sure", "perhaps")).rejects.toThrow("none of its choices");
  expect(await asker.answer("sure", "YES", "ada")).toEqual([]);
  expect(await asker.signal("checks of 1", "passed")).toEqual([
    { kind: "completed", content: "ada said yes, and the checks passed" },
  ]);
  expect(await asker.run()).toMatchObject({ status: "done", steps: [{ name: "look" }] });
  await expect(asker.answer("sure", "yes")).rejects.toMatchObject({ code: "RUN_INVALID" });
});

test("what the worker throws is logged with its place where a log is given", async (t) => {
  const stacks: unknown[] = [];
  const warn = (fields: { stack?: string }) => stacks.push(fields.stack);
  const log = { ...silentLogger, warn };
  const worker = aWorker(async () => Promise.reject(new TypeError("boom")), { maxAttempts: 2 });

  await testWorker(t, worker, { log }).say("anything");

  expect(stacks).toEqual([expect.stringContaining("test-worker.test.ts")]);
});

test("an error without options is worth another attempt", async (t) => {
  const worker = aWorker(async (_message, _args, { attempt, emit }) => {
    if (attempt === 1) throw new WorkerError("not yet");
    await emit("completed", "done");
  });

  expect(await testWorker(t, worker).say("anything")).toEqual([{ kind: "completed", content: "done" }]);
});
