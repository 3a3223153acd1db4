/**
 * What a person has tried again while its end is on the way to its loop, or is written twice because its connection broke
 * when it was stored: it is attempted again, and does not lie until the next start.
 */
import { describe, expect, test } from "vitest";
import { aWorker, echoWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { type FakeGateway, fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop, startLateLoop } from "../testing/interfered-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { DeliveryError, RobsonError, WorkerError } from "./errors.ts";
import type { Change } from "./store.ts";
import type { Worker } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

/** Fails for good at its first attempt, and then never again. */
function luckyLater(): Worker {
  let attempts = 0;
  return aWorker(async (_message, _args, { emit }) => {
    attempts += 1;
    if (attempts === 1) throw new WorkerError("no luck", { retry: "never" });
    await emit("completed", "now it is");
  });
}

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
    const worker = luckyLater();
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

describe.each(databaseKinds)("what is retried on $name while its end is written twice", ({ create }) => {
  async function start(t: TestEnd, { worker, gateway }: { worker: Worker; gateway: FakeGateway }) {
    let ends = 0;
    const running = await startInterferedLoop(t, {
      ...{ location: await create(t), gateways: [gateway], workers: [worker] },
      interfere: (ownership) => ({
        record: async (change: Change) => {
          const isEnd = change.message?.status === "dead" || change.delivery?.status === "dead";
          ends += Number(isEnd);
          const events = await ownership.record(change);
          if (!isEnd || ends > 1) return events;
          const [letter] = await running.store.deadLetters({ limit: 1 });
          expect(letter && (await running.store.retryDeadLetter(letter))).toBe(true);
          throw new RobsonError("STORE_UNAVAILABLE", "The line was cut", { hint: "Wait" });
        },
      }),
    });
    await gateway.say(worker === echoWorker ? "/echo go" : "go");
    // Not as long as it takes until all is looked at again.
    const texts = async () => {
      await running.clock.advance(20);
      return gateway.texts();
    };
    return { ...running, texts, ends: () => ends };
  }

  test("a dead letter is handled again", async (t) => {
    const worker = luckyLater();
    const running = await start(t, { worker, gateway: fakeGateway() });

    await expect.poll(running.texts, PATIENTLY).toContain("completed: now it is");
    expect(running.ends()).toBe(2);
    expect(await running.store.deadLetters({ limit: 1 })).toEqual([]);
  });

  test("a dead delivery is sent again", async (t) => {
    const failWith = () => new DeliveryError("no luck", { retry: "never" });
    const gateway = fakeGateway({ failures: 1, failWith });
    const running = await start(t, { worker: echoWorker, gateway });

    await expect.poll(running.texts, PATIENTLY).toEqual(["completed: go"]);
    expect(running.ends()).toBe(2);
    expect(await running.store.deadLetters({ limit: 1 })).toEqual([]);
  });
});
