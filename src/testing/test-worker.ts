/** One worker, tested as an asker meets it: a message goes in, and what the asker gets comes out. */
import { RobsonError } from "../core/errors.ts";
import type { EventKind } from "../core/process-event.ts";
import type { Worker } from "../core/worker.ts";
import { type FakeGateway, fakeGateway } from "./fake-gateway.ts";
import { startTestLoop, type TestLoop } from "./start-test-loop.ts";
import type { TestEnd } from "./temporary-folder.ts";

/** What a worker reported, or the loop in its place. */
export interface WorkerEvent {
  kind: EventKind;
  content: string;
}

export interface TestWorker {
  /**
   * Sends a message through a real loop on a database of the test's own, and resolves with its events in their
   * order once it has ended. A worker that fails is tried again at once; when it does not recover, the last event is
   * what the asker is told. More than the content, as who asks, goes into `more`.
   */
  say(content: string, more?: Parameters<FakeGateway["say"]>[1]): Promise<WorkerEvent[]>;
}

export interface TestWorkerOptions {
  /** How long one message may take, in real time. Default: 4 s, less than test runners wait. */
  maxWaitMs?: number;
}

/** A loop with this worker alone; it starts with the first message and stops at the end of the test. */
export function testWorker(t: TestEnd, worker: Worker, options: TestWorkerOptions = {}): TestWorker {
  const { maxWaitMs = 4000 } = options;
  // Its events are read from the database: nothing has to be delivered.
  const gateway = fakeGateway({ targets: () => [] });
  let starting: Promise<TestLoop> | undefined;
  return {
    async say(content, more) {
      starting ??= startTestLoop(t, { workers: [worker], gateways: [gateway] });
      const running = await starting;
      const { conversationId } = await gateway.say(content, more);
      await within(untilEnded(running, conversationId), { worker, maxWaitMs });
      const events = await running.store.events(conversationId);
      return events.map(({ kind, content }) => ({ kind, content }));
    },
  };
}

/** The clock stands still: it is moved from one attempt to the next. */
async function untilEnded({ store, clock, idle }: TestLoop, conversationId: number): Promise<void> {
  for (;;) {
    await idle();
    const message = await store.conversation(conversationId);
    if (message === undefined || message.nextAttemptAt === null) return;
    if (message.status === "done" || message.status === "dead") return;
    await clock.advance(message.nextAttemptAt - clock.now());
  }
}

/** Rejects when it takes too long: the clock stands still, so that the worker's own time-out never comes. */
async function within<T>(
  promise: Promise<T>,
  { worker, maxWaitMs }: { worker: Worker; maxWaitMs: number },
): Promise<T> {
  const { promise: isOver, reject } = Promise.withResolvers<never>();
  const text = `Worker "${worker.name}" has not ended its message within ${maxWaitMs} ms`;
  const hint = "It waits for something that does not come; or give testWorker a longer maxWaitMs";
  const timer = setTimeout(() => reject(new RobsonError("WORKER_TIMED_OUT", text, { hint })), maxWaitMs);
  try {
    return await Promise.race([promise, isOver]);
  } finally {
    clearTimeout(timer);
  }
}
