/** A running loop for one test: a clock that stands still, no jitter, and a stop at the test's end. */
import type { AccessRules } from "../core/access.ts";
import type { Gateway } from "../core/gateway.ts";
import type { Limits } from "../core/limits.ts";
import type { Logger } from "../core/logger.ts";
import type { Plugin } from "../core/plugin.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Probe } from "../core/steps.ts";
import type { Asker, Worker } from "../core/worker.ts";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { createFolder, removeFolder, type TestEnd } from "./temporary-folder.ts";
import { createTestClock, type TestClock } from "./test-clock.ts";
import { checkLists, checkLog, checkNames, checkTestEnd } from "./test-options.ts";

export interface TestLoopOptions {
  gateways?: Gateway[];
  workers?: Worker[];
  /** Each with its config, where it takes one. */
  plugins?: (Plugin | { plugin: Plugin; config: unknown })[];
  limits?: Partial<Limits>;
  access?: Partial<AccessRules>;
  log?: Logger;
  clock?: TestClock;
  /** See `SensoriumLoopOptions`. */
  probe?: Probe;
  isOperator?: (asker: Asker) => boolean;
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

/** How long a stop may take without its clock being moved, in real time. */
const TURN_MS = 20;
const MINUTE_MS = 60_000;

/** All of them: the compiler asks for each. */
const OPTIONS: Record<keyof TestLoopOptions, true> = {
  ...{ gateways: true, workers: true, plugins: true, limits: true, access: true, log: true },
  ...{ clock: true, probe: true, isOperator: true, location: true },
};

/** Rejects with `USAGE_INVALID` for what no test may mean. */
export async function startTestLoop(t: TestEnd, options: TestLoopOptions = {}): Promise<TestLoop> {
  const helper = "startTestLoop";
  checkTestEnd(t, { helper });
  checkNames(options, { helper, known: Object.keys(OPTIONS) });
  checkLists({ ...options }, { helper, lists: ["workers", "gateways", "plugins"] });
  checkLog(options.log, { helper });
  const folder = options.location === undefined ? await createFolder() : undefined;
  const store = await openStore(options.location ?? `${folder}/robson.db`);
  const clock = options.clock ?? createTestClock();
  const loop = new SensoriumLoop({
    store,
    clock,
    random: () => 1 - Number.EPSILON, // the whole wait, so that a test knows it
    ...(options.access ? { access: options.access } : {}),
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.log ? { log: options.log } : {}),
    ...(options.probe ? { probe: options.probe } : {}),
    ...(options.isOperator ? { isOperator: options.isOperator } : {}),
  });
  const stop = async () => {
    await stopWithin(loop, clock);
    await store.close();
  };
  // Before anything that may be refused. One callback: runners do not agree on the order of several.
  t.onTestFinished(async () => {
    await stop();
    if (folder !== undefined) await removeFolder(folder);
  });
  for (const worker of options.workers ?? []) loop.registerWorker(worker);
  for (const gateway of options.gateways ?? []) loop.registerGateway(gateway);
  for (const each of options.plugins ?? []) {
    // What is no object is refused by its name.
    if (typeof each === "object" && each !== null && "plugin" in each) loop.use(each.plugin, each.config);
    else loop.use(each);
  }
  await loop.start();
  return { loop, store, clock, idle: () => loop.idle(), stop };
}

/** Stops a loop whose clock stands still: what waits for the end of a grace ends as the test's clock is moved. */
export async function stopWithin(loop: Pick<SensoriumLoop, "stop">, clock: TestClock): Promise<void> {
  const stopped = loop.stop();
  await Promise.race([stopped, graceOver(clock, stopped)]);
  await stopped;
}

async function graceOver(clock: TestClock, stopped: Promise<void>): Promise<void> {
  let isStopped = false;
  const noticed = stopped.finally(() => {
    isStopped = true;
  });
  noticed.catch(() => undefined);
  while (!isStopped) {
    await Promise.race([noticed, new Promise((resolve) => setTimeout(resolve, TURN_MS))]);
    if (!isStopped) await clock.advance(MINUTE_MS);
  }
}
