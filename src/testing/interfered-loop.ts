/**
 * A running loop whose calls to the database the test can hold up, count, or fail as a database does.
 * What is not interfered with goes to the real database. And a log that keeps what it is told.
 */

import type { Logger } from "../core/logger.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Ownership } from "../core/store.ts";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import type { TestLoopOptions } from "./start-test-loop.ts";
import { type TestEnd, temporaryFolder } from "./temporary-folder.ts";
import { createTestClock, type TestClock } from "./test-clock.ts";

export interface InterferedLoopOptions extends Omit<TestLoopOptions, "clock"> {
  /** The calls that the test has its hands in. */
  interfere(ownership: Ownership): Partial<Ownership>;
}

export interface InterferedLoop {
  loop: SensoriumLoop;
  store: OpenedStore;
  clock: TestClock;
  idle(): Promise<void>;
}

export async function startInterferedLoop(
  t: TestEnd,
  { interfere, location, gateways = [], workers = [], limits = {}, ...more }: InterferedLoopOptions,
): Promise<InterferedLoop> {
  const store = await openStore(location ?? `${await temporaryFolder(t)}/robson.db`);
  const own: OpenedStore["own"] = async (options) => {
    const ownership = await store.own(options);
    return { ...ownership, ...interfere(ownership) };
  };
  const clock = createTestClock();
  const random = () => 1 - Number.EPSILON;
  const loop = new SensoriumLoop({ store: { ...store, own }, clock, random, limits, ...more });
  for (const worker of workers) loop.registerWorker(worker);
  for (const gateway of gateways) loop.registerGateway(gateway);
  t.onTestFinished(async () => {
    await loop.stop();
    await store.close();
  });
  await loop.start();
  return { loop, store, clock, idle: () => loop.idle() };
}

export interface KeptLog extends Logger {
  readonly lines: { level: string; message: string; fields: object }[];
}

/** A log that keeps its lines. */
export function keptLog(): KeptLog {
  const lines: KeptLog["lines"] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields });
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
