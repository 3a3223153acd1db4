/** One worker, tested as an asker meets it: a message goes in, and what the asker gets comes out. */
import { RobsonError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { definePlugin, type Plugin } from "../core/plugin.ts";
import { type EventKind, isFinal } from "../core/process-event.ts";
import type { Json } from "../core/run.ts";
import { chosen, openQuestion, wrongAnswer } from "../core/run-answer.ts";
import type { RunDetails } from "../core/run-store.ts";
import type { Worker } from "../core/worker.ts";
import { type FakeGateway, fakeGateway } from "./fake-gateway.ts";
import { startTestLoop, type TestLoop } from "./start-test-loop.ts";
import type { TestEnd } from "./temporary-folder.ts";
import { checkLog, checkNames, checkTestEnd } from "./test-options.ts";

/** What a worker reported, or the loop in its place. */
export interface WorkerEvent {
  kind: EventKind;
  content: string;
}

export interface TestWorker {
  /**
   * Sends a message through a real loop on a database of the test's own, and resolves with its events in their
   * order once it has ended, or waits for an answer or an event. A worker that fails is tried again at once, one that
   * sleeps sleeps no longer than the test; when it does not recover, the last event is what the asker is told. Rejects
   * when it ends without `completed` or `failed`, unless the message was merely overheard (`isAddressed: false`). More
   * than the content, as who asks, goes into `more`.
   */
  say(content: string, more?: Parameters<FakeGateway["say"]>[1]): Promise<WorkerEvent[]>;
  /** Answers a question of the message's run, and resolves with the events after it, as `say` does. */
  answer(name: string, value: string, by?: string): Promise<WorkerEvent[]>;
  /** Tells the run of an event that it waits for, and resolves with the events after it, as `say` does. */
  signal(key: string, value: Json): Promise<WorkerEvent[]>;
  /** The run of the latest message as it is on record: its steps, effects and questions; undefined without one. */
  run(): Promise<RunDetails | undefined>;
}

export interface TestWorkerOptions {
  /** How long one message may take, in real time. Default: 4 s, less than test runners wait. */
  maxWaitMs?: number;
  /** Gets what the loop logs, as the stack of what the worker throws. Default: nobody; `console` will do. */
  log?: Logger;
}

/** A loop with this worker alone; it starts with the first message and stops at the end of the test. */
export function testWorker(t: TestEnd, worker: Worker, options: TestWorkerOptions = {}): TestWorker {
  checkTestEnd(t, { helper: "testWorker" });
  checkNames(options, { helper: "testWorker", known: ["maxWaitMs", "log"] });
  checkLog(options.log, { helper: "testWorker" });
  const { maxWaitMs = 4000, log } = options;
  // Its events are read from the database: nothing has to be delivered.
  const gateway = fakeGateway({ targets: () => [] });
  let starting: Promise<TestLoop> | undefined;
  let conversationId = 0;
  let seen = 0;
  const addressed = new Set<number>();
  const start = () => {
    // Nobody else writes to its database: there is nothing to look for while a run sleeps for a month.
    const limits = { fallbackPollMs: YEAR_MS };
    const plugins = [endsKeptIn(addressed)];
    starting ??= startTestLoop(t, {
      ...{ workers: [worker], gateways: [gateway], plugins, limits },
      ...(log && { log }),
    });
    return starting;
  };
  const eventsAfter = async (running: TestLoop) => {
    await within(untilEnded(running, conversationId), { worker, maxWaitMs });
    const events = await running.store.events(conversationId);
    if (addressed.has(conversationId) && !events.some(({ kind }) => isFinal(kind))) throw unanswered(worker);
    const fresh = events.slice(seen).map(({ kind, content }) => ({ kind, content }));
    seen = events.length;
    return fresh;
  };
  return {
    async say(content, more) {
      const running = await start();
      ({ conversationId } = await gateway.say(content, more));
      seen = 0;
      return eventsAfter(running);
    },
    async answer(name, text, by = "U1") {
      const running = await start();
      const run = await running.store.runs.run(conversationId);
      const question = run && openQuestion(run, name);
      if (!question) throw nothingAsked(name, run);
      const value = chosen(question, text);
      if (value === undefined) throw wrongAnswer(run, question);
      await running.store.runs.answer(conversationId, { name, value, by, at: running.clock.now() });
      return eventsAfter(running);
    },
    async signal(key, value) {
      const running = await start();
      await running.store.runs.signal(key, { value, at: running.clock.now() });
      return eventsAfter(running);
    },
    run: async () => (await start()).store.runs.run(conversationId),
  };
}

/** Keeps which messages have ended well by their worker although somebody waited for an answer. */
function endsKeptIn(addressed: Set<number>): Plugin {
  return definePlugin({
    name: "test-worker",
    setup: ({ hook }) =>
      hook("message.ended", ({ message, outcome, worker }) => {
        if (outcome === "done" && worker !== null && message.isAddressed)
          addressed.add(message.conversationId);
      }),
  });
}

function unanswered(worker: Worker): RobsonError {
  const text = `Worker "${worker.name}" has ended its message without completed or failed: its asker gets no answer`;
  return new RobsonError("WORKER_FAILED", text, {
    hint: "Emit one of the two before handle() returns, or return false to pass the message on; silence is for what was overheard: say(content, { isAddressed: false })",
  });
}

const YEAR_MS = 365 * 24 * 3_600_000;
/** How often a message is looked at that another process, so to say, has changed. */
const LOOK_MS = 5;

/** The clock stands still: it is moved from one attempt to the next, and over every sleep. */
async function untilEnded({ store, clock, idle }: TestLoop, conversationId: number): Promise<void> {
  for (;;) {
    await idle();
    const message = await store.conversation(conversationId);
    if (message === undefined || message.status === "done" || message.status === "dead") return;
    if (message.status === "waiting" && (await waitsForSomeone(store, { conversationId, clock }))) return;
    if (message.nextAttemptAt !== null) await clock.advance(Math.max(0, message.nextAttemptAt - clock.now()));
    // What was answered is taken up when the loop has noticed.
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** A person or an event; not the time alone. */
async function waitsForSomeone(
  { runs }: TestLoop["store"],
  { conversationId, clock }: { conversationId: number; clock: TestLoop["clock"] },
): Promise<boolean> {
  const decisions = (await runs.run(conversationId))?.decisions ?? [];
  return decisions.some(
    ({ kind, answeredAt, dueAt }) =>
      kind !== "sleep" && answeredAt === null && (dueAt === null || dueAt > clock.now()),
  );
}

function nothingAsked(name: string, run: RunDetails | undefined): RobsonError {
  const open =
    run?.decisions.filter(({ kind, answeredAt }) => kind === "question" && answeredAt === null) ?? [];
  const names = open.map((question) => `"${question.name}"`).join(", ");
  return new RobsonError("RUN_INVALID", `Cannot answer "${name}": the message waits for no such question`, {
    hint:
      names === "" ? "It has no question open; say something first that makes it ask" : `It asks ${names}`,
  });
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
