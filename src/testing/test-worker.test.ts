import { expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
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
