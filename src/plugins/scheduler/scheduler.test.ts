import { describe, expect, test } from "vitest";
import { aWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop, type TestLoop } from "../../testing/start-test-loop.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { createTestClock, type TestClock } from "../../testing/test-clock.ts";
import { createScheduler, type Schedule } from "./index.ts";
import { pendingTasksSchedule } from "./pending-tasks.ts";
import { planOf } from "./planned.ts";

const HOUR_MS = 3_600_000;
const START = Date.UTC(2030, 0, 1, 0, 30);

function schedulerOf({ store, clock }: Pick<TestLoop, "store" | "clock">, schedules: Schedule[]) {
  return createScheduler({
    ...{ schedules, store, clock, random: () => 0.5 },
    hasKeyPrefix: (prefix) => store.operator.hasKeyPrefix(prefix),
    log: { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 },
  });
}

/** A loop whose worker answers every message, with a scheduler that has run for `hours`. */
async function runFor(
  t: TestEnd,
  options: { location: string; clock: TestClock; hours: number; schedules: Schedule[] },
) {
  const { location, clock, hours, schedules } = options;
  const gateway = fakeGateway({ defaultChannelId: "news" });
  const worker = aWorker(async ({ content }, _args, { emit }) => emit("completed", content));
  const running = await startTestLoop(t, { location, clock, gateways: [gateway], workers: [worker] });
  const scheduler = schedulerOf(running, schedules);
  scheduler.start();
  for (let hour = 0; hour < hours; hour += 1) await clock.advance(HOUR_MS);
  await scheduler.stop();
  const stored = await running.store.operator.messages({ limit: 100 });
  await expect
    .poll(async () => (await running.store.operator.messages({ status: "done", limit: 100 })).length)
    .toBe(stored.length);
  await running.idle();
  await running.stop();
  return { gateway, keys: stored.length };
}

const HOURLY: Schedule = { name: "hourly", every: 3600, message: "report" };

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("each planned instant becomes one message, and its answer goes to the default channel", async (t) => {
    const { gateway, keys } = await runFor(t, {
      ...{ location: await create(t), clock: createTestClock(START), hours: 3, schedules: [HOURLY] },
    });
    expect(keys).toBe(3);
    expect(gateway.sent.map(({ target, content }) => `${target}: ${content}`)).toEqual(
      Array(3).fill("news: report"),
    );
  });

  test("a restart doubles nothing, and of what was missed it makes good the last one", async (t) => {
    const location = await create(t);
    const clock = createTestClock(START);
    const schedules: Schedule[] = [HOURLY, { name: "nightly", cron: "0 3 * * *", message: "night" }];
    const first = await runFor(t, { location, clock, hours: 2, schedules });
    const again = await runFor(t, { location, clock, hours: 0, schedules });
    await clock.advance(10 * HOUR_MS);
    const late = await runFor(t, { location, clock, hours: 0, schedules });

    // 01:00 and 02:00; then nothing; then 12:00 instead of ten, and nothing of the nightly one, which is new.
    expect([first.keys, again.keys, late.keys]).toEqual([2, 2, 3]);
  });

  test("a pending task is begun once for each time that it becomes pending", async (t) => {
    const location = await create(t);
    const clock = createTestClock(START);
    let updatedAt = 1;
    const pendingTasks = async () => [{ key: "PROJ-1", updatedAt }];
    const schedules = [pendingTasksSchedule({ every: 1800, pendingTasks })];
    const first = await runFor(t, { location, clock, hours: 2, schedules });
    updatedAt = 2;
    const second = await runFor(t, { location, clock, hours: 2, schedules });

    expect(first.gateway.texts()).toEqual(["completed: /run-task PROJ-1"]);
    expect([first.keys, second.keys]).toEqual([1, 2]);
  });
});

test("a stopped scheduler sends nothing more", async (t) => {
  const { keys } = await runFor(t, {
    location: (await databaseKinds[0]?.create(t)) ?? "",
    ...{ clock: createTestClock(START), hours: 0, schedules: [HOURLY] },
  });
  expect(keys).toBe(0);
});

test("cron is read in its time zone, over the change of the clocks too", () => {
  const plan = planOf({ name: "n", cron: "0 3 * * *", timezone: "Europe/Berlin" });
  expect(plan.next(Date.UTC(2030, 2, 30, 12))).toBe(Date.UTC(2030, 2, 31, 1));
  expect(plan.next(Date.UTC(2030, 2, 29, 12))).toBe(Date.UTC(2030, 2, 30, 2));
  expect(plan.last(Date.UTC(2030, 2, 30, 2))).toBe(Date.UTC(2030, 2, 30, 2));
  expect(plan.last(Date.UTC(2030, 2, 30, 2) - 1)).toBe(Date.UTC(2030, 2, 29, 2));
});

test("a schedule that cannot be read, or whose name is taken, is refused at once", () => {
  expect(() => planOf({ name: "n", cron: "99 3 * * *" })).toThrow('Cannot use the schedule "n"');
  expect(() => planOf({ name: "n", cron: "0 3 * * *", timezone: "Mars" })).toThrow(
    'Cannot use the schedule "n"',
  );
  const none = { store: {}, clock: createTestClock() } as unknown as TestLoop;
  expect(() => schedulerOf(none, [HOURLY, HOURLY])).toThrow("there are two of that name");
});
