/** What a person has tried again before its loop knows that it has ended: it is not left lying for the next start. */
import { describe, expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop } from "../testing/interfered-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { WorkerError } from "./errors.ts";
import type { Change } from "./store.ts";
import type { Worker } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

describe.each(databaseKinds)("tried again on $name before its end is known", ({ create }) => {
  /** A loop in which `meanwhile` is done, and taken, when the first end is stored and the loop does not know of it. */
  async function interfered(
    t: TestEnd,
    { worker, meanwhile }: { worker: Worker; meanwhile(id: number): Promise<boolean> },
  ) {
    const gateway = fakeGateway();
    let isOver = false;
    let takings = 0;
    const running = await startInterferedLoop(t, {
      ...{ location: await create(t), gateways: [gateway], workers: [worker] },
      interfere: (ownership) => ({
        takeUnowned: async (limit) => {
          const messages = await ownership.takeUnowned(limit);
          takings += messages.length;
          return messages;
        },
        record: async (change: Change) => {
          const events = await ownership.record(change);
          const { conversationId = 0, status } = change.message ?? {};
          if ((status !== "dead" && status !== "done") || isOver) return events;
          isOver = true;
          expect(await meanwhile(conversationId)).toBe(true);
          await expect.poll(() => takings, PATIENTLY).toBe(1);
          return events;
        },
      }),
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
    const running = await interfered(t, {
      worker,
      meanwhile: async () => {
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
    const running = await interfered(t, { worker, meanwhile: (id) => running.store.runs.reopen(id) });
    await running.gateway.say("/long");

    await expect.poll(() => running.gateway.texts().at(-1), PATIENTLY).toBe("completed: round 2");
  });
});
