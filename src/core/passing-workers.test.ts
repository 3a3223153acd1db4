/** Workers that pass: the next one that matches is asked, whatever was done or begun before. */
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import type { Worker } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
const MINUTE_MS = 60_000;

describe.each(databaseKinds)("on $name", ({ create }) => {
  async function start(t: TestEnd, options: { workers: Worker[] }) {
    const gateway = fakeGateway();
    const running = await startTestLoop(t, {
      ...options,
      gateways: [gateway],
      location: await create(t),
    });
    return { ...running, gateway };
  }

  test("a run of a worker that did a step and passed is asked further, after a failure too", async (t) => {
    const asked: string[] = [];
    const passing = aWorker(
      async (_message, _args, { step }) => {
        await step("looked", async () => void asked.push("first's step"));
        return false;
      },
      { name: "first", pattern: "^hello" },
    );
    const second = aWorker(
      async (_message, _args, { emit, attempt }) => {
        asked.push("second");
        if (asked.length < 3) throw new Error(`not yet, at attempt ${attempt}`);
        await emit("completed", "Done by the second");
      },
      { name: "second" },
    );
    const { gateway, idle, clock } = await start(t, { workers: [passing, second] });
    await gateway.say("hello");
    await idle();
    await clock.advance(MINUTE_MS);
    await idle();

    expect(asked).toEqual(["first's step", "second", "second"]);
    expect(gateway.texts()).toEqual(["completed: Done by the second"]);
  });

  test("a run of a worker behind one that passes has a lane of its own all the same", async (t) => {
    const passing = aWorker(async () => false, { name: "passing", pattern: "^hello" });
    const release = Promise.withResolvers<void>();
    const behind = aWorker(
      async (_message, _args, { emit }) => {
        await release.promise;
        await emit("completed", "Done");
      },
      { name: "behind", run: { lane: () => "one at a time" } },
    );
    const { gateway, store } = await start(t, { workers: [passing, behind] });
    const { conversationId } = await gateway.say("hello");
    await gateway.say("hello again");

    await expect
      .poll(() => gateway.texts(), PATIENTLY)
      .toEqual([expect.stringContaining(`Run ${conversationId} is at this already`)]);
    expect(await store.runs.run(conversationId)).toMatchObject({ worker: "behind", isDetached: true });
    release.resolve();
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: Done");
  });
});
