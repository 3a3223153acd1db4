/** Runs that go from one process to another whose clock is behind: what they were told once they are told again. */
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { createTestClock } from "../testing/test-clock.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
const START_AT = Date.UTC(2030, 0, 1);
const TIMEOUT_MS = 60_000;

describe.each(databaseKinds)("a run on $name", ({ create }) => {
  test("whose question was over by one clock does not ask it again by another that is behind", async (t) => {
    const location = await create(t);
    const told: string[] = [];
    const worker = () =>
      aWorker(
        async (_message, _args, { ask, step, signal, emit }) => {
          const answer = await ask("sure", { text: "Sure?", timeoutMs: TIMEOUT_MS });
          told.push(String(answer?.value));
          if (told.length === 1)
            await step(
              "slow",
              () => new Promise((_resolve, reject) => signal.addEventListener("abort", reject)),
            );
          await emit("completed", "Done");
        },
        { name: "long", command: "/long", run: {} },
      );
    const limits = { stopGraceMs: 0 };
    const gateway = fakeGateway();
    const ahead = createTestClock(START_AT);
    const first = await startTestLoop(t, {
      location,
      workers: [worker()],
      gateways: [gateway],
      limits,
      clock: ahead,
    });
    const { conversationId } = await gateway.say("/long");
    await first.idle();
    const count = async () => {
      await ahead.advance(TIMEOUT_MS);
      return told.length;
    };
    await expect.poll(count, PATIENTLY).toBe(1);
    await first.stop();

    const behind = createTestClock(START_AT + TIMEOUT_MS / 2);
    const second = await startTestLoop(t, {
      location,
      workers: [worker()],
      gateways: [fakeGateway()],
      clock: behind,
    });
    await expect.poll(() => told, PATIENTLY).toEqual(["undefined", "undefined"]);
    await second.idle();
    expect(await second.store.runs.run(conversationId)).toMatchObject({ status: "done" });
  });
});
