import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { type Batch, DEFAULT_RETENTION, Retention, type RetentionStore } from "./retention.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const PATIENTLY = { timeout: 20_000 };

describe.each(databaseKinds)("retention beside a running loop on $name", ({ create }) => {
  test("removes what the loop has answered once it is old, by one process, and says how much", async (t) => {
    const location = await create(t);
    const gateway = fakeGateway();
    const { store, idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    // One after another, so that the newest event is the newest message's; these two stay.
    for (let index = 0; index < 25; index += 1) {
      await gateway.say(`/echo ${index}`, { threadTs: `T${index}` });
      await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(index + 1);
    }
    await idle();
    const other = await openStore(location);
    t.onTestFinished(() => other.close());
    const clock = createTestClock(); // The loop's own stands still.
    const logs = [keptLog(), keptLog()];
    const rules = { ...DEFAULT_RETENTION, maxBatchRows: 10, messageDays: 1 };
    const both = [store, other].map(
      ({ retention }, index) =>
        new Retention({ store: retention, rules, clock, log: logs[index] ?? keptLog() }),
    );
    t.onTestFinished(async () => void (await Promise.all(both.map((each) => each.stop()))));
    for (const each of both) each.start();
    const left = async () => {
      await clock.advance(HOUR_MS);
      return (await store.operator.messages({ limit: 99 })).length;
    };

    await clock.advance(2 * HOUR_MS);
    expect(await left()).toBe(25);
    await clock.advance(DAY_MS);

    await expect.poll(left, PATIENTLY).toBe(1);
    await Promise.all(both.map((each) => each.stop()));
    const told = logs.flatMap(({ lines }) => lines.map(({ fields }) => fields as { messages?: number }));
    expect(told.reduce((sum, { messages = 0 }) => sum + messages, 0)).toBe(24);
    expect([await store.operator.wasRemoved(24), await store.operator.wasRemoved(25)]).toEqual([true, false]);
  });
});

/** Retention over a store that does as the test says. */
function start(store: RetentionStore) {
  const clock = createTestClock();
  const log = keptLog();
  const retention = new Retention({ store, rules: DEFAULT_RETENTION, clock, log });
  retention.start();
  return { clock, log, retention };
}

test("a round that fails is told, and the next one goes on", async () => {
  let claims = 0;
  const { clock, log, retention } = start({
    claim: async () => {
      claims += 1;
      throw new Error("away");
    },
    removeBatch: async () => ({ removed: 0, next: undefined }),
  });

  await clock.advance(60_000);
  expect(claims).toBe(1);
  await clock.advance(HOUR_MS);
  expect(claims).toBe(2);

  expect(log.lines[0]?.message).toBe("retention could not go on; it does later");
  await retention.stop();
});

test("a stop ends after the batch that is under way, and begins no other", async () => {
  const batches: Batch[] = [];
  const ended = Promise.withResolvers<void>();
  const { clock, retention } = start({
    claim: async () => 1,
    async removeBatch(batch) {
      batches.push(batch);
      await ended.promise;
      return { removed: 1, next: 7 };
    },
  });
  await clock.advance(60_000);
  expect(batches).toHaveLength(1);

  const stopped = retention.stop();
  ended.resolve();
  await stopped;
  await clock.advance(HOUR_MS);

  expect(batches.map(({ part }) => part)).toEqual(["messages"]);
});
