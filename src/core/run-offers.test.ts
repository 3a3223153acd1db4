/** Plain messages in the thread of a run: its answer, a note for its next turn, or a message like any other. */
import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog } from "../testing/interfered-loop.ts";
import { startTestLoop, type TestLoopOptions } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { RobsonError } from "./errors.ts";
import { silentLogger } from "./logger.ts";
import type { RunRules } from "./run.ts";
import type { RunThread } from "./run-store.ts";
import { RunThreads } from "./run-threads.ts";
import { SensoriumLoop } from "./sensorium-loop.ts";
import type { Worker, WorkerContext } from "./worker.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
const IN_T1 = { threadTs: "T1" };

function long(handle: (context: WorkerContext) => Promise<unknown>, run: RunRules = {}): Worker {
  return aWorker(async (_message, _args, context) => handle(context), {
    name: "long",
    command: "/long",
    run,
  });
}

/** Answers what nobody else takes. */
const chat = aWorker(async ({ content }, _args, { emit }) => emit("completed", `chat: ${content}`), {
  name: "chat",
});

const asking = () =>
  long(async ({ ask, emit }) => {
    const answer = await ask("sure", { text: "Sure?", choices: ["Yes", "No"] });
    await emit("completed", `${answer?.by} said ${answer?.value}`);
  });

describe.each(databaseKinds)("a plain message on $name", ({ create }) => {
  async function start(t: TestEnd, options: TestLoopOptions) {
    const gateway = fakeGateway();
    const location = options.location ?? (await create(t));
    const running = await startTestLoop(t, { gateways: [gateway], ...options, location });
    const last = () => gateway.texts().at(-1);
    const waits = () =>
      expect
        .poll(() => running.store.runs.runs({ isOpen: true }), PATIENTLY)
        .toMatchObject([{ status: "waiting" }]);
    return { ...running, gateway, location, last, waits };
  }

  test("in the thread of a run that asks is its answer, in the words of the choice", async (t) => {
    const { gateway, last, waits, store } = await start(t, { workers: [asking(), chat] });
    const { conversationId } = await gateway.say("/long", IN_T1);
    await waits();
    const { conversationId: answer } = await gateway.say("<@U99> yes ", IN_T1);

    await expect.poll(last, PATIENTLY).toBe("completed: U1 said Yes");
    expect(gateway.texts()).toContain(
      `completed: Run ${conversationId} has your answer, \`Yes\`, and goes on.`,
    );
    expect(await store.runs.run(conversationId)).toMatchObject({
      status: "done",
      decisions: [{ answer: '"Yes"', answeredBy: "U1" }],
      notes: [{ conversationId: answer, content: "yes", takenAt: expect.any(Number) }],
    });
  });

  test("that is none of the choices is told them, and the question stays open", async (t) => {
    const { gateway, idle, last, waits, store } = await start(t, { workers: [asking(), chat] });
    const { conversationId } = await gateway.say("/long", IN_T1);
    await waits();
    await gateway.say("perhaps", IN_T1);
    await idle();
    expect(last()).toBe(
      `failed: Run ${conversationId} asks: Sure?\nIt takes \`Yes\` or \`No\` as the answer, and goes on waiting for it.`,
    );
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "waiting", notes: [] });
  });

  test("that cannot be offered while the database is away waits, and no attempt is counted", async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    const gateway = fakeGateway();
    const clock = createTestClock();
    let failures = 0;
    const runs: typeof store.runs.runs = async (filter) => {
      if (failures === 0) return store.runs.runs(filter);
      failures -= 1;
      throw new RobsonError("STORE_UNAVAILABLE", "Cannot reach the database: it is away", { hint: "Wait" });
    };
    const limits = { maxMessageAttempts: 1 };
    const loop = new SensoriumLoop({ store: { ...store, runs: { ...store.runs, runs } }, clock, limits });
    t.onTestFinished(async () => {
      await loop.stop();
      await store.close();
    });
    for (const worker of [asking(), chat]) loop.registerWorker(worker);
    loop.registerGateway(gateway);
    await loop.start();
    await gateway.say("/long", IN_T1);
    await expect
      .poll(() => store.runs.runs({ isOpen: true }), PATIENTLY)
      .toMatchObject([{ status: "waiting" }]);

    failures = 3;
    await gateway.say("yes", IN_T1);
    const last = async () => {
      await clock.advance(1000);
      return gateway.texts().at(-1);
    };
    await expect.poll(last, PATIENTLY).toBe("completed: U1 said Yes");
  });

  test("of someone else answers for him only where he is an operator", async (t) => {
    const isOperator = ({ userId }: { userId: string }) => userId === "boss";
    const { gateway, idle, last, waits } = await start(t, { workers: [asking(), chat], isOperator });
    await gateway.say("/long", IN_T1);
    await waits();
    await gateway.say("yes", { ...IN_T1, userId: "U2" });
    await idle();
    expect(last()).toBe("completed: chat: yes");
    await gateway.say("no", { ...IN_T1, userId: "boss" });
    await expect.poll(last, PATIENTLY).toBe("completed: boss said No");
  });

  test("elsewhere, a command, and one after the run's end go their own ways", async (t) => {
    const { gateway, idle, waits, store } = await start(t, { workers: [asking(), chat] });
    const { conversationId } = await gateway.say("/long", IN_T1);
    await waits();
    for (const [content, threadTs] of [
      ["yes", "T2"],
      ["/yes", "T1"],
      ["<@U9> /help", "T1"],
    ] as const) {
      await gateway.say(content, { threadTs });
      await idle();
    }
    const [, elsewhere, command, help] = gateway.texts();
    expect([elsewhere, command]).toEqual(["completed: chat: yes", "completed: chat: /yes"]);
    expect(help).toContain("Available Commands");
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "waiting" });

    await gateway.say("no", IN_T1);
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: U1 said No");
    await gateway.say("no", IN_T1);
    await idle();
    expect(gateway.texts().at(-1)).toBe("completed: chat: no");
  });

  test("of nobody in no thread is for no run, though one asks there", async (t) => {
    const { gateway, idle, last, waits } = await start(t, { workers: [asking(), chat] });
    await gateway.say("/long", { userId: "" });
    await waits();
    await gateway.say("yes", { userId: "" });
    await idle();
    expect(last()).toBe("completed: chat: yes");
  });

  test("reaches a run that takes notes at its next turn, once", async (t) => {
    const going = Promise.withResolvers<void>();
    const read: unknown[] = [];
    const worker = long(
      async ({ step, emit }) => {
        await step("first turn", async ({ notes }) => {
          read.push(await notes());
          await going.promise;
        });
        await step("second turn", async ({ notes }) => void read.push(await notes()));
        await step("third turn", async ({ notes }) => void read.push(await notes()));
        await emit("completed", "Done");
      },
      { takesNotes: true, title: () => "PROJ-1" },
    );
    const { gateway, idle, store } = await start(t, { workers: [worker, chat] });
    const { conversationId } = await gateway.say("/long", IN_T1);
    await expect.poll(() => read, PATIENTLY).toHaveLength(1);
    await gateway.say("use blue", { ...IN_T1, userId: "U2" });
    const text = `completed: Passed on to run ${conversationId} (PROJ-1): it reads this at its next turn.`;
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual([text]);
    going.resolve();
    await idle();

    expect(read).toEqual([[], [{ userId: "U2", content: "use blue" }], []]);
    expect(gateway.texts()).toEqual([text, "completed: Done"]);
    expect(await store.runs.run(conversationId)).toMatchObject({ notes: [{ takenAt: expect.any(Number) }] });
  });

  test("that comes when a run reads nothing more is told of with its end, and one at its end is handled as always", async (t) => {
    const going = Promise.withResolvers<void>();
    const worker = long(
      async ({ step, emit }) => {
        await step("work", async ({ notes }) => void (await notes()));
        await going.promise;
        await emit("completed", "Done");
      },
      { takesNotes: true },
    );
    const { gateway, store, last } = await start(t, { workers: [worker, chat] });
    const { conversationId } = await gateway.say("/long", IN_T1);
    const steps = async () => (await store.runs.run(conversationId))?.steps;
    await expect.poll(steps, PATIENTLY).toMatchObject([{ result: "null" }]);
    await gateway.say("use blue\nor green", IN_T1);
    await expect.poll(last, PATIENTLY).toContain(`Passed on to run ${conversationId}`);
    going.resolve();

    await expect
      .poll(last, PATIENTLY)
      .toBe(
        "completed: Done\n\nSaid too late for this run to read; send it again where it still counts:\n- use blue",
      );
    await gateway.say("still there?", IN_T1);
    await expect.poll(last, PATIENTLY).toBe("completed: chat: still there?");
  });

  test("is handled as always where the run takes no notes", async (t) => {
    const going = Promise.withResolvers<void>();
    const worker = long(async ({ emit }) => going.promise.then(() => emit("completed", "Done")));
    const { gateway, idle } = await start(t, { workers: [worker, chat] });
    await gateway.say("/long", IN_T1);
    await gateway.say("hello", IN_T1);
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: chat: hello"]);
    going.resolve();
    await idle();
  });

  test("answers a run that waits since before a restart", async (t) => {
    const first = await start(t, { workers: [asking(), chat] });
    await first.gateway.say("/long", IN_T1);
    await first.waits();
    await first.stop();
    const { gateway, last } = await start(t, { location: first.location, workers: [asking(), chat] });
    await gateway.say("NO", IN_T1);
    await expect.poll(last, PATIENTLY).toBe("completed: U1 said No");
  });

  test("answers the question of a worker for short work too", async (t) => {
    const worker = aWorker(
      async (_message, _args, { ask, emit }) =>
        emit("completed", `So ${(await ask("how", { text: "How?" }))?.value}`),
      { name: "short", command: "/short" },
    );
    const { gateway, last, waits } = await start(t, { workers: [worker, chat] });
    await gateway.say("/short", IN_T1);
    await waits();
    await gateway.say("be it", IN_T1);
    await expect.poll(last, PATIENTLY).toBe("completed: So be it");
  });

  test("that a crash interrupted in its commit is passed on once", async (t) => {
    const { gateway, store, waits, loop } = await start(t, { workers: [asking(), chat] });
    const { conversationId } = await gateway.say("/long", IN_T1);
    await waits();
    await loop.stop();
    const ownership = await store.own({ owner: "next", gateways: ["fake"], now: 1 });
    const note = { conversationId: 77, userId: "U1", content: "yes", createdAt: 5 };
    const answers = { name: "sure", value: "Yes", by: "U1", at: 6 };
    const change = { shard: 0, run: { conversationId, passedOn: { ...note, answers } } };
    await ownership.record(change);
    await ownership.record(change);
    const other = { ...change.run.passedOn, conversationId: 78 };
    const late = ownership.record({ shard: 0, run: { conversationId, passedOn: other } });
    await expect(late).rejects.toMatchObject({ code: "RUN_INVALID" });
    expect(await store.runs.run(conversationId)).toMatchObject({ notes: [{ conversationId: 77 }] });
    await ownership.release();
  });
});

describe("what memory knows of the threads with runs", () => {
  const thread = { gateway: "fake", channelId: "C1", threadTs: "T1" };
  const aRun = (conversationId: number, threadTs = "T1"): RunThread => ({
    ...thread,
    threadTs,
    conversationId,
  });
  const of = (read: (page: { after: number; limit: number }) => Promise<RunThread[]>) =>
    new RunThreads({ runs: { openThreads: read }, log: silentLogger, holds: () => true });

  test("is read page by page, and waited for", async () => {
    const all = Array.from({ length: 2500 }, (_, index) => aRun(index + 1, `T${index + 1}`));
    const threads = of(async ({ after, limit }) => all.slice(after, after + limit));
    threads.reread();
    expect(await threads.mayHave({ ...thread, threadTs: "T2400" })).toBe(true);
    expect(threads.mayHave({ ...thread, threadTs: "T2501" })).toBe(false);
  });

  test("forgets what ends while it is being read, and keeps what begins", async () => {
    const page = Promise.withResolvers<RunThread[]>();
    const threads = of(() => page.promise);
    threads.reread();
    threads.remove(aRun(1));
    threads.add(aRun(3, "T3"));
    page.resolve([aRun(1), aRun(2, "T2")]);
    expect(await threads.mayHave(thread)).toBe(false);
    expect(threads.mayHave({ ...thread, threadTs: "T2" })).toBe(true);
    expect(threads.mayHave({ ...thread, threadTs: "T3" })).toBe(true);
  });

  test("says of every thread that it may have one, where the database could not be read", async () => {
    let isAway = true;
    const threads = of(async () => (isAway ? Promise.reject(new Error("away")) : []));
    threads.reread();
    expect(await threads.mayHave(thread)).toBe(true);
    threads.rereadIfFailed();
    expect(await threads.mayHave(thread)).toBe(true);
    isAway = false;
    threads.rereadIfFailed();
    expect(await threads.mayHave(thread)).toBe(false);
  });

  test("is not read again where it has been read, and says nothing of a reading that a stop cuts off", async () => {
    const page = Promise.withResolvers<RunThread[]>();
    const log = keptLog();
    let reads = 0;
    const openThreads = () => {
      reads += 1;
      return reads === 1 ? Promise.resolve([]) : page.promise;
    };
    const threads = new RunThreads({ runs: { openThreads }, log, holds: () => true });
    threads.reread();
    await threads.mayHave(thread);
    threads.rereadIfFailed();
    expect(reads).toBe(1);

    threads.reread();
    await expect.poll(() => reads).toBe(2);
    threads.stop();
    page.reject(new Error("the pool has ended"));
    expect(await threads.mayHave(thread)).toBe(true);
    expect(log.lines).toEqual([]);
  });

  test("keeps a thread whose run has begun since the database was asked for those that are open there", () => {
    const threads = of(async () => []);
    threads.add(aRun(1));
    const before = threads.addCount;
    threads.add(aRun(2));

    threads.clear(thread, before);
    expect(threads.mayHave(thread)).toBe(true);
    threads.clear(thread, threads.addCount);
    expect(threads.mayHave(thread)).toBe(false);
  });

  test("holds a thread until the last of its runs has ended, or its shard is left", () => {
    const threads = of(async () => []);
    for (const id of [1, 2]) threads.add(aRun(id));
    threads.remove(aRun(1));
    expect(threads.mayHave(thread)).toBe(true);
    threads.remove(aRun(2));
    expect(threads.mayHave(thread)).toBe(false);
    threads.add(aRun(3));
    threads.forget(({ gateway }) => gateway === "fake");
    expect(threads.mayHave(thread)).toBe(false);
  });
});
