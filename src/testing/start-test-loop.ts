/** A running loop for one test: a clock that stands still, no jitter, and a stop at the test's end. */
import type { Gateway } from "../core/gateway.ts";
import type { Limits } from "../core/limits.ts";
import type { Logger } from "../core/logger.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Worker } from "../core/worker.ts";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { type TestEnd, temporaryFolder } from "./temporary-folder.ts";
import { createTestClock, type TestClock } from "./test-clock.ts";

export interface TestLoopOptions {
  gateways?: Gateway[];
  workers?: Worker[];
  limits?: Partial<Limits>;
  log?: Logger;
  clock?: TestClock;
  /** A location for `openStore`; default: an SQLite file of the test's own. */
  location?: string;
}

export interface TestLoop {
  loop: SensoriumLoop;
  store: OpenedStore;
  clock: TestClock;
  /** Resolves when nothing is under way; retries wait for `clock.advance`. */
  idle(): Promise<void>;
  /** Stops the loop and closes the store, as at the end of the test. */
  stop(): Promise<void>;
}

export async function startTestLoop(t: TestEnd, options: TestLoopOptions = {}): Promise<TestLoop> {
  const store = await openStore(options.location ?? `${await temporaryFolder(t)}/robson.db`);
  const clock = options.clock ?? createTestClock();
  const loop = new SensoriumLoop({
    store,
    clock,
    random: () => 1 - Number.EPSILON, // the whole wait, so that a test knows it
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.log ? { log: options.log } : {}),
  });
  for (const worker of options.workers ?? []) loop.registerWorker(worker);
  for (const gateway of options.gateways ?? []) loop.registerGateway(gateway);
  const stop = async () => {
    const stopped = loop.stop();
    await Promise.race([stopped, graceOver(clock, stopped)]);
    await stopped;
    await store.close();
  };
  t.onTestFinished(stop);
  await loop.start();
  return { loop, store, clock, idle: () => loop.idle(), stop };
}

/** The clock stands still: work that does not end by itself is handed back when the test moves the clock. */
async function graceOver(clock: TestClock, stopped: Promise<void>): Promise<void> {
  let isStopped = false;
  stopped.then(
    () => {
      isStopped = true;
    },
    () => {
      isStopped = true;
    },
  );
  for (let turns = 0; turns < 50 && !isStopped; turns += 1)
    await new Promise((resolve) => setImmediate(resolve));
  if (!isStopped) await clock.advance(60_000);
}
