import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { aMessage, aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";

const HOUR_MS = 3_600_000;
const INTERRUPTED = "The process ended during this attempt";

/** Leaves a message behind during whose n-th attempt the process ended, as it did at all those before. */
async function interrupted(location: string, { attempts }: { attempts: number }): Promise<void> {
  const store = await openStore(location);
  const ownership = await store.own({ owner: "the crashed one", gateways: ["fake"], now: 0 });
  const at = { shard: 0, status: "claimed", attempts: 1 } as const;
  const { conversationId } = await ownership.accept(aMessage({ content: "/echo x" }), at);
  const of = { conversationId, nextAttemptAt: null, lastError: null };
  const message = { ...of, status: "claimed", attempts, interruptions: attempts - 1 } as const;
  if (attempts > 1) await ownership.record({ shard: 0, message });
  await store.close();
}

const failedAttempts = async (store: OpenedStore) =>
  (await store.sql()).read.selectFrom("failed_attempts").selectAll().orderBy("id").execute();

const failing = aWorker(
  async () => {
    throw new Error("no luck");
  },
  { name: "failing", command: "/echo", maxAttempts: 2 },
);

describe.each(databaseKinds)("what failed, on $name", ({ create }) => {
  test("each failed attempt of a worker is kept, with when the next one was due", async (t) => {
    const gateway = fakeGateway();
    const options = { location: await create(t), gateways: [gateway], workers: [failing] };
    const { idle, clock, store } = await startTestLoop(t, options);
    const startedAt = clock.now();

    const { conversationId } = await gateway.say("/echo x");
    await idle();
    await clock.advance(1000);
    await idle();

    const common = { conversation_id: conversationId, worker: "failing", error: "no luck" };
    const ofMessage = { ...common, event_id: null, gateway: null, target: null };
    expect(await failedAttempts(store)).toMatchObject([
      { ...ofMessage, attempt: 1, failed_at: startedAt, next_at: startedAt + 1000 },
      { ...ofMessage, attempt: 2, failed_at: startedAt + 1000, next_at: null },
    ]);
  });

  test("each failed attempt of a delivery is kept, the one that made it a dead letter too", async (t) => {
    const gateway = fakeGateway({ failures: 2 });
    const options = { location: await create(t), gateways: [gateway], workers: [echo] };
    const { idle, clock, store } = await startTestLoop(t, { ...options, limits: { maxDeliveryAttempts: 2 } });
    const startedAt = clock.now();

    const { conversationId } = await gateway.say("/echo x");
    await idle();
    await clock.advance(1000);
    await idle();

    const eventId = (await store.events(conversationId))[0]?.id;
    const ofDelivery = { conversation_id: conversationId, event_id: eventId, gateway: "fake", target: "C1" };
    const common = { ...ofDelivery, worker: null, error: "the platform is down" };
    expect(await failedAttempts(store)).toMatchObject([
      { ...common, attempt: 1, failed_at: startedAt, next_at: startedAt + 1000 },
      { ...common, attempt: 2, failed_at: startedAt + 1000, next_at: null },
    ]);
  });

  test("what went well leaves nothing behind", async (t) => {
    const gateway = fakeGateway();
    const options = { location: await create(t), gateways: [gateway], workers: [echo] };
    const { idle, store } = await startTestLoop(t, options);

    await gateway.say("/echo x");
    await idle();

    expect(await failedAttempts(store)).toEqual([]);
  });

  test("an attempt that ended with the process is kept, and says nothing about the worker", async (t) => {
    const location = await create(t);
    await interrupted(location, { attempts: 1 });
    const gateway = fakeGateway();
    const { idle, store } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    await idle();

    expect(gateway.texts()).toEqual(["completed: x"]);
    expect(await failedAttempts(store)).toMatchObject([
      { event_id: null, worker: null, attempt: 1, error: INTERRUPTED, next_at: null },
    ]);
  });

  test("interruptions are not failures: a worker has all its attempts after them", async (t) => {
    const location = await create(t);
    await interrupted(location, { attempts: 5 });
    const gateway = fakeGateway();
    const running = await startTestLoop(t, { location, gateways: [gateway], workers: [failing] });
    const { idle, clock, store } = running;
    await idle();
    await clock.advance(8000); // what was interrupted so often waits first
    await idle();
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);

    await clock.advance(HOUR_MS);
    await idle();

    expect(await store.deadLetters({ limit: 9 })).toMatchObject([{ lastError: "no luck" }]);
    expect((await failedAttempts(store)).map(({ attempt, error }) => [attempt, error])).toEqual([
      [5, INTERRUPTED],
      [6, "no luck"],
      [7, "no luck"],
    ]);
  });

  test("a message is a dead letter once maxInterruptions of its attempts ended with the process", async (t) => {
    const location = await create(t);
    await interrupted(location, { attempts: 3 });
    const gateway = fakeGateway();
    const options = { location, gateways: [gateway], workers: [echo], limits: { maxInterruptions: 3 } };
    const { idle, store } = await startTestLoop(t, options);
    await idle();

    const lastError = "The process ended 3 times while it was handled";
    expect(await store.deadLetters({ limit: 9 })).toMatchObject([{ lastError }]);
    expect(gateway.texts()).toEqual([expect.stringContaining(`failed: I could not do this: ${lastError}`)]);
    expect(await failedAttempts(store)).toMatchObject([{ attempt: 3, error: lastError, next_at: null }]);
  });

  test("one interruption fewer than maxInterruptions is not too many", async (t) => {
    const location = await create(t);
    await interrupted(location, { attempts: 2 });
    const gateway = fakeGateway();
    const options = { location, gateways: [gateway], workers: [echo], limits: { maxInterruptions: 3 } };
    const { idle, clock } = await startTestLoop(t, options);
    await idle();
    expect(gateway.texts()).toEqual([]); // it waits first
    await clock.advance(1000);
    await idle();

    expect(gateway.texts()).toEqual(["completed: x"]);
  });
});
