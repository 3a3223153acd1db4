/** What a worker's mistakes with steps come to: told by name, the first time, and never a run that waits for nothing. */
import { expect, type TestContext, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { testWorker } from "../testing/test-worker.ts";
import { silentLogger } from "./logger.ts";
import type { WorkerContext } from "./worker.ts";

/** Whatever a worker that no compiler has seen may pass. */
type Unchecked = Record<
  "step" | "effect" | "ask" | "sleep" | "waitFor",
  (...args: unknown[]) => Promise<unknown>
>;

const long = (handle: (context: Unchecked & WorkerContext) => Promise<unknown>) =>
  aWorker((_message, _args, context) => handle(context as never), { command: "/long", run: {} });

async function say(t: TestContext, handle: Parameters<typeof long>[0]) {
  const [event, ...more] = await testWorker(t, long(handle)).say("/long");
  expect(more).toEqual([]);
  return `${event?.kind}: ${event?.content}`;
}

const [found, made] = [async () => undefined, async () => 1];

test.for<[string, (context: Unchecked) => Promise<unknown>, string]>([
  ["a step without work", ({ step }) => step("a"), 'The step "a" has undefined for its work'],
  ["a step of a promise", ({ step }) => step("a", made()), 'The step "a" has a promise for its work'],
  [
    "an effect without a key",
    ({ effect }) => effect("a", () => ({ find: found, make: made })),
    'The effect "a" has undefined for its key',
  ],
  [
    "an effect whose key is a number",
    ({ effect }) => effect("a", () => ({ key: 5, find: found, make: made })),
    'The effect "a" has a number for its key',
  ],
  [
    "an effect without find",
    ({ effect }) => effect("a", () => ({ key: "k", make: made })),
    'The effect "a" has no find()',
  ],
  [
    "an effect without make",
    ({ effect }) => effect("a", () => ({ key: "k", find: found })),
    'The effect "a" has no make()',
  ],
  [
    "an effect that describes nothing",
    ({ effect }) => effect("a", () => undefined),
    'The effect "a" has undefined for its key',
  ],
  [
    "an asynchronous description",
    ({ effect }) => effect("a", async () => ({})),
    'The effect "a" is described by an asynchronous function',
  ],
  [
    "a description that is no function",
    ({ effect }) => effect("a", { key: "k" }),
    'The effect "a" is described by an object',
  ],
  [
    "an answer that is emitted within a step",
    ({ step }) => step("a", async ({ emit }: WorkerContext) => emit("completed", "done")),
    'A step cannot emit "completed", which ends the message',
  ],
  [
    "a question with a setting that there is not",
    ({ ask }) => ask("a", { text: "?", options: ["yes"] }),
    'The question "a" has no setting "options"\nThe settings are text, choices, timeoutMs',
  ],
  [
    "a wait with a setting that is misspelt",
    ({ waitFor }) => waitFor("a", { key: "k", timeout: 50 }),
    'waitFor("a") has no setting "timeout"\nDid you mean "timeoutMs"?',
  ],
  [
    "a wait without a name",
    ({ sleep }) => sleep(1000),
    "The name of a step, question or wait is a number, not a text that can be stored\nThe name comes first, as in",
  ],
  ["a step without a name", ({ step }) => step(found), "The name of a step, question or wait is a function"],
  ["a question without text", ({ ask }) => ask("a", {}), 'The question "a" has undefined for its text'],
  [
    "a question that is a text",
    ({ ask }) => ask("a", "Go on?"),
    'The question "a" has undefined for its text',
  ],
  [
    "choices that are a text",
    ({ ask }) => ask("a", { text: "?", choices: "yes" }),
    'The question "a" has a text for its choices',
  ],
  [
    "choices that are numbers",
    ({ ask }) => ask("a", { text: "?", choices: [1] }),
    'The question "a" has a number among its choices',
  ],
  ["a wait for no event", ({ waitFor }) => waitFor("a", {}), 'waitFor("a") has undefined for its key'],
  ["a wait without its event", ({ waitFor }) => waitFor("a"), 'waitFor("a") has undefined for its key'],
  [
    "a sleep of a text",
    ({ sleep }) => sleep("a", "5s"),
    'The wait of "a" is a text, not a number of milliseconds',
  ],
  [
    "a sleep of nothing",
    ({ sleep }) => sleep("a"),
    'The wait of "a" is undefined, not a number of milliseconds',
  ],
  [
    "a sleep without an end",
    ({ sleep }) => sleep("a", Number.POSITIVE_INFINITY),
    'The wait of "a" is Infinity, not a number',
  ],
  [
    "a question's time that is no number",
    ({ ask }) => ask("a", { text: "?", timeoutMs: Number.NaN }),
    'The wait of "a" is NaN, not a number',
  ],
])("%s is refused by name, and not tried again", async ([_name, handle, expected], t) => {
  let attempts = 0;

  const told = await say(t, async (context) => {
    attempts += 1;
    await handle(context);
  });

  expect(told).toContain(`failed: I could not do this: ${expected}`);
  expect(attempts).toBe(1);
});

test.for([null, false])("an effect whose find returns %s is neither adopted nor made", async (answer, t) => {
  let count = 0;

  const told = await say(t, async ({ effect, emit }) => {
    await effect("pay", () => ({ key: "k", find: async () => answer, make: async () => (count += 1) }));
    await emit("completed", "paid");
  });

  expect(told).toContain(`find() of the effect "pay" has returned ${answer}`);
  expect(count).toBe(0);
});

test.for<["lane" | "title", string, unknown]>([
  ["lane", "a number", 7],
  ["lane", "a promise", Promise.resolve("release")],
  ["title", "an object", {}],
])("a %s that is %s is refused by name", async ([rule, what, answer], t) => {
  const worker = { ...long(async () => undefined), run: { [rule]: () => answer } };

  const [event] = await testWorker(t, worker).say("/long");

  expect(event?.content).toContain(`${rule}() of the run of worker "w" has answered ${what}, not text`);
});

test("a sleep of a part of a millisecond ends", async (t) => {
  const told = await say(t, async ({ sleep, emit }) => {
    await sleep("a moment", 0.5);
    await emit("completed", "awake");
  });

  expect(told).toBe("completed: awake");
});

test("a question that nobody awaits is asked and waited for, and does not end the process", async (t) => {
  const unhandled: unknown[] = [];
  const keep = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", keep);
  t.onTestFinished(() => void process.off("unhandledRejection", keep));
  const asker = testWorker(
    t,
    long(async ({ ask, sleep, emit }) => {
      void ask("sure", { text: "Sure?" });
      void sleep("a while", "5s").catch(() => undefined);
      await emit("completed", "went on");
    }),
  );

  expect(await asker.say("/long")).toEqual([{ kind: "progress", content: expect.stringContaining("Sure?") }]);
  expect(await asker.answer("sure", "yes")).toEqual([{ kind: "completed", content: "went on" }]);

  expect(unhandled).toEqual([]);
});

test("a worker that returns before its step has ended is named in the log", async (t) => {
  const warnings: object[] = [];
  const log = { ...silentLogger, warn: (fields: object, text: string) => warnings.push({ ...fields, text }) };
  const gateway = fakeGateway();
  const working = Promise.withResolvers<void>();
  const worker = long(async ({ step, emit }) => {
    void step("clone", () => working.promise).catch(() => undefined);
    await emit("completed", "done");
  });
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker], log });

  await gateway.say("/long");
  await idle();
  working.resolve();

  expect(gateway.texts()).toEqual(["completed: done"]);
  expect(warnings[0]).toMatchObject({
    worker: "w",
    step: "clone",
    text: expect.stringContaining("await every step"),
  });
});
