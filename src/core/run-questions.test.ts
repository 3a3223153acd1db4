/** Questions that a run asks side by side: all of them are shown, and they are answered in the order in which they were asked. */
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import type { WorkerContext } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

describe.each(databaseKinds)("questions of a run on $name", ({ create }) => {
  async function start(t: TestEnd, handle: (context: WorkerContext) => Promise<unknown>) {
    const gateway = fakeGateway();
    const worker = aWorker(async (_message, _args, context) => handle(context), {
      name: "long",
      command: "/long",
      run: {},
    });
    const running = await startTestLoop(t, {
      gateways: [gateway],
      workers: [worker],
      location: await create(t),
    });
    const { conversationId } = await gateway.say("/long");
    const { store, idle, clock } = running;
    const open = async () => {
      const { status, decisions = [] } = (await store.runs.run(conversationId)) ?? {};
      return [status, ...decisions.flatMap(({ name, answer }) => (answer === null ? [name] : []))];
    };
    const waitsFor = async (...names: string[]) => {
      await expect.poll(open, PATIENTLY).toEqual(["waiting", ...names]);
      await idle();
    };
    const answer = (name: string) =>
      store.runs.answer(conversationId, { name, value: "yes", by: "Ann", at: clock.now() });
    return { ...running, gateway, conversationId, waitsFor, answer };
  }

  test("that were asked in one instant are answered in the order in which they were asked", async (t) => {
    const names = ["where", "how", "when"];
    const { gateway, waitsFor } = await start(t, async ({ ask, emit }) => {
      const answers = await Promise.all(names.map((name) => ask(name, { text: name })));
      await emit("completed", answers.map((answer) => answer?.value).join(", "));
    });
    await waitsFor("where", "how", "when");

    await gateway.say("there");
    await waitsFor("how", "when");
    await gateway.say("so");
    await waitsFor("when");
    await gateway.say("now");

    await expect.poll(() => gateway.texts(), PATIENTLY).toContain("completed: there, so, now");
  });

  test.for([
    ["are over after whole milliseconds", 1500.5, { dueAt: 1501 }],
    ["may be over at once", -1, { dueAt: 0 }],
    ["may be over in a time that no database holds", 1e300, { dueAt: expect.any(Number) }],
  ] as const)("%s, however that was reckoned", async ([, timeoutMs, { dueAt }], t) => {
    const { store, conversationId, clock, waitsFor } = await start(t, ({ ask }) =>
      ask("sure", { text: "Sure?", timeoutMs }),
    );
    if (timeoutMs > 0) await waitsFor("sure");
    const decision = async () => {
      const found = (await store.runs.run(conversationId))?.decisions[0];
      return found && { dueAt: (found.dueAt ?? Number.NaN) - clock.now() };
    };
    await expect.poll(decision, PATIENTLY).toEqual({ dueAt });
  });

  test("are refused where their time is none", async (t) => {
    const { gateway } = await start(t, ({ ask }) => ask("sure", { text: "Sure?", timeoutMs: Number.NaN }));

    const told = () => gateway.texts().at(-1);
    await expect.poll(told, PATIENTLY).toContain('The wait of "sure" is NaN, not a number of milliseconds');
  });

  test("are all shown when it goes on after its end, also those that are asked then for the first time", async (t) => {
    const { gateway, store, waitsFor, answer, conversationId } = await start(t, async ({ ask, round }) => {
      const first = round === 1 ? ["a", "b"] : ["a", "b", "c"];
      await Promise.all(first.map((name) => ask(name, { text: `Is it ${name}?` })));
      for (const name of ["d", "e"]) await ask(name, { text: `Is it ${name}?` });
    });
    await waitsFor("a", "b");
    await store.requestStop(conversationId, "Ann");
    await expect.poll(() => store.runs.run(conversationId), PATIENTLY).toMatchObject({ status: "stopped" });

    await store.runs.reopen(conversationId);
    await waitsFor("a", "b", "c");
    for (const name of ["a", "b", "c"]) await answer(name);
    await waitsFor("d");
    await answer("d");
    await waitsFor("e");

    const shown = (name: string) => gateway.texts().filter((text) => text.includes(`Is it ${name}?`)).length;
    expect(["a", "b", "c", "d", "e"].map(shown)).toEqual([2, 2, 1, 1, 1]);
  });
});
