/**
 * A running loop whose calls to the database the test can hold up, count, or fail as a database does.
 * What is not interfered with goes to the real database. And a log that keeps what it is told.
 */

import type { Logger } from "../core/logger.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { MessageStatus, Ownership } from "../core/store.ts";
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

export interface LateLoopOptions extends Omit<InterferedLoopOptions, "interfere"> {
  /** What a message becomes, for the first time, when `meanwhile` is done. */
  statuses: MessageStatus[];
  meanwhile(conversationId: number): Promise<unknown>;
}

/** A loop in which `meanwhile` is done when that is stored, before the loop knows of it. */
export async function startLateLoop(
  t: TestEnd,
  { statuses, meanwhile, ...options }: LateLoopOptions,
): Promise<InterferedLoop & { takings(): number }> {
  let isOver = false;
  let takings = 0;
  const running = await startInterferedLoop(t, {
    ...options,
    interfere: (ownership) => ({
      takeUnowned: async (limit) => {
        const messages = await ownership.takeUnowned(limit);
        takings += messages.length;
        return messages;
      },
      record: async (change) => {
        const events = await ownership.record(change);
        const { conversationId, status } = change.message ?? {};
        if (conversationId === undefined || !status || !statuses.includes(status) || isOver) return events;
        isOver = true;
        await meanwhile(conversationId);
        return events;
      },
    }),
  });
  return { ...running, takings: () => takings };
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
