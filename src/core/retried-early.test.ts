/** What a person has tried again before its loop knows that it has ended: it is not left lying for the next start. */
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startLateLoop } from "../testing/interfered-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { WorkerError } from "./errors.ts";
import type { Worker } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

describe.each(databaseKinds)("tried again on $name before its end is known", ({ create }) => {
  /** A loop in which `retry` is done, and taken, when the first end is stored and the loop does not know of it. */
  async function start(
    t: TestEnd,
    { worker, retry }: { worker: Worker; retry(id: number): Promise<boolean> },
  ) {
    const gateway = fakeGateway();
    const running = await startLateLoop(t, {
      ...{ location: await create(t), gateways: [gateway], workers: [worker], statuses: ["dead", "done"] },
      meanwhile: async (id) => {
        expect(await retry(id)).toBe(true);
        await expect.poll(() => running.takings(), PATIENTLY).toBe(1);
      },
    });
    return { ...running, gateway };
  }

  test("a dead letter is handled again", async (t) => {
    let attempts = 0;
    const worker = aWorker(async (_message, _args, { emit }) => {
      attempts += 1;
      if (attempts === 1) throw new WorkerError("no luck", { retry: "never" });
      await emit("completed", "now it is");
    });
    const running = await start(t, {
      worker,
      retry: async () => {
        const [letter] = await running.store.deadLetters({ limit: 1 });
        return letter !== undefined && running.store.retryDeadLetter(letter);
      },
    });
    await running.gateway.say("go");

    await expect.poll(() => running.gateway.texts().at(-1), PATIENTLY).toBe("completed: now it is");
  });

  test("a run that has failed goes on", async (t) => {
    const worker = aWorker(
      async (_message, _args, { emit, round }) =>
        emit(round === 1 ? "failed" : "completed", `round ${round}`),
      { name: "long", command: "/long", run: {} },
    );
    const running = await start(t, { worker, retry: (id) => running.store.runs.reopen(id) });
    await running.gateway.say("/long");

    await expect.poll(() => running.gateway.texts().at(-1), PATIENTLY).toBe("completed: round 2");
  });
});
