import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { keptLog } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { defineGateway, type GatewayContext } from "./gateway.ts";

const MINUTE_MS = 60_000;
const limits = { backoffBaseMs: 1000, maxBackoffMs: MINUTE_MS, maxGatewayBackoffMs: 4000 };

/** A loop whose one gateway does at each start what the test says; `starts` are the instants of its starts. */
async function start(t: TestEnd, onStart: (context: GatewayContext) => Promise<void>) {
  const clock = createTestClock();
  const begunAt = clock.now();
  const starts: number[] = [];
  const log = keptLog();
  const gateway = defineGateway({
    name: "moody",
    start(context) {
      starts.push(clock.now() - begunAt);
      return onStart(context);
    },
    send: async () => undefined,
  });
  const running = await startTestLoop(t, { gateways: [gateway], clock, limits, log });
  /** Moves on to each instant at which something may be due, one after another. */
  const advance = async (byMs: number) => {
    await clock.advance(byMs);
    await setImmediate();
  };
  return { ...running, starts, log, advance, health: () => running.loop.health().gateways };
}

const untilStopped = ({ signal }: GatewayContext) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

test("one whose start throws is started again, after longer and longer waits up to the limit", async (t) => {
  const { starts, health, log, advance } = await start(t, async () => {
    throw new Error("the platform is away");
  });
  await setImmediate();
  expect(health()).toEqual([{ name: "moody", state: "waiting", lastError: "the platform is away" }]);

  for (let second = 0; second < 15; second += 1) await advance(1000);

  expect(starts).toEqual([0, 1000, 3000, 7000, 11_000, 15_000]);
  expect(log.lines.filter(({ message }) => message === "gateway ended")[1]).toMatchObject({
    level: "error",
    fields: { gateway: "moody", attempts: 2, waitMs: 2000, error: "the platform is away" },
  });
});

test("one whose start throws without a promise is started again as well", async (t) => {
  const { starts, health, advance } = await start(t, () => {
    throw new Error("no such device");
  });
  await setImmediate();
  expect(health()).toMatchObject([{ state: "waiting", lastError: "no such device" }]);
  await advance(1000);
  expect(starts).toEqual([0, 1000]);
});

test("one that ends by itself is started again, and listens while its last error is still told", async (t) => {
  const answers = [async () => undefined, untilStopped];
  const { starts, health, advance } = await start(
    t,
    (context) => answers.shift()?.(context) ?? untilStopped(context),
  );
  await setImmediate();
  expect(health()).toEqual([
    { name: "moody", state: "waiting", lastError: expect.stringContaining("start() ended by itself") },
  ]);

  await advance(1000);

  expect(starts).toEqual([0, 1000]);
  expect(health()).toEqual([
    { name: "moody", state: "listening", lastError: expect.stringContaining("start() ended by itself") },
  ]);
});

test("one that listened for long starts over with the short wait", async (t) => {
  let fail: (error: Error) => void = () => undefined;
  const failing = () =>
    new Promise<void>((_resolve, reject) => {
      fail = reject;
    });
  const { starts, advance } = await start(t, failing);
  fail(new Error("first"));
  await advance(0);
  await advance(1000);
  await advance(MINUTE_MS + 1);

  fail(new Error("second"));
  await advance(0);
  await advance(1000);

  expect(starts).toEqual([0, 1000, 1000 + MINUTE_MS + 1 + 1000]);
});

test.for(["while it waits", "while it listens"])(
  "after a stop %s it is not started again",
  async (when, t) => {
    const isWaiting = when === "while it waits";
    const { starts, health, loop, advance } = await start(t, async (context) => {
      if (isWaiting) throw new Error("the platform is away");
      await untilStopped(context);
      throw new Error("an error of its end");
    });
    await setImmediate();
    expect(health()[0]?.state).toBe(isWaiting ? "waiting" : "listening");

    await loop.stop();
    await advance(MINUTE_MS);

    expect(starts).toEqual([0]);
    expect(health()).toEqual([
      { name: "moody", state: "stopped", ...(isWaiting ? { lastError: "the platform is away" } : {}) },
    ]);
  },
);
