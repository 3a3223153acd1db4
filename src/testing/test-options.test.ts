/** That the helpers of `robson/testing` refuse what an author writes by mistake, with what to write. */
import { expect, onTestFinished, test } from "vitest";
import { echoWorker } from "./builders.ts";
import { fakeGateway } from "./fake-gateway.ts";
import { startTestLoop } from "./start-test-loop.ts";
import { gatewayChecks } from "./test-gateway.ts";
import { testWorker } from "./test-worker.ts";

test.each([
  [{ worker: [echoWorker] }, 'startTestLoop has no option "worker"', 'Did you mean "workers"?'],
  [{ workers: echoWorker }, "The workers of startTestLoop are an object, not a list", "Write workers: [ … ]"],
  [{ log: () => undefined }, "The log of startTestLoop has no debug()", /^Give it console/],
])("startTestLoop refuses %o", async (options, message, hint) => {
  const started = startTestLoop({ onTestFinished }, options as never);

  await expect(started).rejects.toMatchObject({ code: "USAGE_INVALID", message, hint: matching(hint) });
});

test("a helper that is not given its test says so before it makes anything", async () => {
  const why = (helper: string, what: string) => ({
    message: `${helper} was given ${what} for its test, which has no onTestFinished()`,
    hint: expect.stringContaining("Pass the context of the test first"),
  });

  await expect(startTestLoop(undefined as never)).rejects.toMatchObject(why("startTestLoop", "undefined"));
  expect(() => testWorker(echoWorker as never, undefined as never)).toThrow(
    expect.objectContaining(why("testWorker", "an object")),
  );
});

test("testWorker refuses an option that is misspelt", () => {
  const asked = () => testWorker({ onTestFinished }, echoWorker, { maxWait: 5 } as never);

  expect(asked).toThrow('testWorker has no option "maxWait"');
});

test("what a test keeps beside the options is its own", async () => {
  const kept = { workers: [echoWorker], worker: echoWorker, name: "mine" };

  const { store } = await startTestLoop({ onTestFinished }, kept);

  expect(store.location).toContain("robson.db");
});

test.each([
  [
    {},
    "testGateway was given undefined for createPlatform, not a function",
    "Write createPlatform: (…) => …",
  ],
  [
    { createPlatfrom: () => undefined },
    'testGateway has no option "createPlatfrom"',
    'Did you mean "createPlatform"?',
  ],
  [
    { createPlatform: () => undefined, without: ["listning"] },
    'without of testGateway has no "listning"',
    'Did you mean "listening"?',
  ],
])("testGateway refuses the suite %o", (suite, message, hint) => {
  const checks = () => gatewayChecks(() => fakeGateway(), suite as never);

  expect(checks).toThrow(expect.objectContaining({ code: "USAGE_INVALID", message, hint: matching(hint) }));
});

function matching(hint: string | RegExp): unknown {
  return typeof hint === "string" ? hint : expect.stringMatching(hint);
}
