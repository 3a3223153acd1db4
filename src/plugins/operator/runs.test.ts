/** Runs in a chat: `/status`, `/answer`, `/retry`, `/logs`, `/stop`, and what `why` says of a message that waits. */
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { silentLogger } from "../../core/logger.ts";
import type { Worker, WorkerContext } from "../../core/worker.ts";
import { openStore } from "../../store/open-store.ts";
import { aWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { createTestClock } from "../../testing/test-clock.ts";
import { operatorWorkers } from "./index.ts";
import { parseRunId } from "./run-access.ts";
import { told } from "./why.fixture.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
const MINUTE_MS = 60_000;

describe.each(databaseKinds)("on $name", ({ create }) => {
  /** A run that does a step, asks, reports its progress and does another; and one that fails until it is repaired. */
  async function aChat(t: TestEnd, more: { transcriptsOf?: (run: number) => Promise<string[]> } = {}) {
    const location = await create(t);
    const store = await openStore(location);
    t.onTestFinished(() => store.close());
    const gateway = fakeGateway();
    const clock = createTestClock();
    const broken = { isBroken: true };
    const going = Promise.withResolvers<void>();
    const workers: Worker[] = [
      aWorker(
        async (_message, _args, { step, effect, ask, emit }) => {
          await step("clone", async () => "kept");
          await effect("push", () => ({
            key: "robson/PROJ-1",
            find: async () => undefined,
            make: async () => 1,
          }));
          const answer = await ask("sure", { text: "Push it?", choices: ["yes", "no"] });
          await step("tell", async ({ emit }) => emit("progress", "Telling the ticket"));
          await emit("completed", `It is ${answer?.value}`);
        },
        { name: "long", command: "/long", run: { title: () => "PROJ-1" } },
      ),
      aWorker(
        async (_message, _args, { ask }) => {
          const choices = ["yes", "no"];
          for (const name of ["first", "second"]) await ask(name, { text: "Sure?", choices });
        },
        { name: "twice", command: "/twice", run: {} },
      ),
      aWorker(
        async (_message, _args, { step, emit }) => {
          await step("clone", async () => "kept");
          if (broken.isBroken) return emit("failed", "The checks failed");
          await emit("completed", "Repaired");
        },
        { name: "check", command: "/check", run: {} },
      ),
      aWorker(async (_message, _args, { emit }) => emit("failed", "The key is refused"), {
        name: "empty",
        command: "/empty",
        run: {},
      }),
      aWorker(async (_message, _args, { step }) => step("hang", async () => going.promise), {
        name: "hang",
        command: "/hang",
        run: {},
      }),
    ];
    const options = {
      store,
      records: store.operator,
      workers: () => workers,
      owner: "x",
      limits: DEFAULT_LIMITS,
      operators: ["fake:boss"],
      localGateways: ["cli"],
      clock,
      ...more,
    };
    workers.push(...operatorWorkers(options));
    const loop = await startTestLoop(t, {
      location,
      clock,
      gateways: [gateway],
      workers,
      limits: { maxConcurrentRuns: 1 },
    });
    const ask = async (
      content: string,
      from: { userId?: string; threadTs?: string; channelId?: string } = {},
    ) => {
      const { conversationId } = await gateway.say(content, { threadTs: "T1", ...from });
      const answer = () => gateway.sent.findLast((sent) => sent.conversationId === conversationId)?.content;
      await expect.poll(answer, PATIENTLY).toBeDefined();
      return answer() ?? "";
    };
    const begin = async (content: string, status: string) => {
      const { conversationId } = await gateway.say(content, { threadTs: "T1" });
      await expect.poll(() => store.runs.run(conversationId), PATIENTLY).toMatchObject({ status });
      await loop.idle();
      return conversationId;
    };
    return { ...loop, gateway, clock, ask, begin, broken, workers, going, options };
  }

  test("/status tells what a run waits for and what to type, and which step it is at", async (t) => {
    const { ask, begin, clock, gateway, store, going } = await aChat(t);
    const id = await begin("/long", "waiting");
    await clock.advance(3 * MINUTE_MS);

    expect(await ask("/status")).toContain(
      `- **run ${id}** (long) PROJ-1: waits for an answer to "Push it?" since 2030-01-01 00:00:00 UTC (3 min ago): \`/answer ${id} yes | no\``,
    );
    expect(await ask("/status", { threadTs: "T2" })).toContain("Nothing is open in this thread.");
    expect(await ask("/status all", { threadTs: "T2", userId: "boss" })).toContain("of U1 in fake C1");
    const { conversationId: hung } = await gateway.say("/hang", { threadTs: "T1" });
    await expect.poll(async () => (await store.runs.run(hung))?.steps, PATIENTLY).toHaveLength(1);
    await gateway.say("/check", { threadTs: "T1" });
    await expect.poll(() => store.runs.runs({ isOpen: true }), PATIENTLY).toHaveLength(3);
    const status = await ask("/status");
    expect(status).toContain(`**run ${hung}** (hang) /hang: at step "hang", begun now`);
    expect(status).toContain(`(check) /check: waits for a free slot (limits.max_concurrent_runs)`);
    going.resolve();
  });

  test("/answer takes the requester's answer and an operator's, one of the choices, once", async (t) => {
    const { ask, begin, gateway } = await aChat(t);
    const id = await begin("/long", "waiting");
    expect(await ask(`/answer ${id} yes`, { userId: "U2" })).toContain("for operators only");
    expect(await ask(`/answer ${id} perhaps`)).toContain("It takes `yes` or `no` as the answer");
    expect(await ask("/answer 99 yes")).toContain('There is no run "99" here');
    expect(await ask(`/answer ${id} YES`, { userId: "boss", threadTs: "T9" })).toBe(
      `Run ${id} has your answer, \`yes\`, and goes on.`,
    );
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toBe("completed: It is yes");
    expect(await ask(`/answer ${id} no`)).toContain(`Cannot answer run ${id}: it has ended (done)`);
  });

  test("/answer that was interrupted behind its answer does not answer the next question too", async (t) => {
    const { begin, store, clock, gateway, options } = await aChat(t);
    const id = await begin("/twice", "waiting");
    const { conversationId } = await gateway.say("/status", { threadTs: "T9" });
    await store.runs.answer(id, { name: "first", value: "yes", by: "U1", at: clock.now() });
    const asked = async () => (await store.runs.run(id))?.decisions.map(({ name, answer }) => [name, answer]);
    await expect.poll(asked, PATIENTLY).toEqual([
      ["first", '"yes"'],
      ["second", null],
    ]);
    const worker = operatorWorkers(options).find(({ name }) => name === "answer");
    const said: string[] = [];
    const emit = async (kind: string, content: string) => void said.push(`${kind}: ${content}`);
    const context = { emit, log: silentLogger, attempt: 2 } as unknown as WorkerContext;
    const message = { kind: "received", id: "x", conversationId, content: "", isAddressed: true } as const;
    const from = { gateway: "fake", channelId: "C1", userId: "U1", createdAt: clock.now() };

    await worker?.handle({ ...message, ...from }, { run: String(id), text: "YES" }, context);

    expect(said).toEqual([`completed: Run ${id} has your answer, \`yes\`, and goes on.`]);
    expect(await asked()).toEqual([
      ["first", '"yes"'],
      ["second", null],
    ]);
  });

  test("/stop ends a run that waits, and /retry has it go on", async (t) => {
    const { ask, begin, store } = await aChat(t);
    const id = await begin("/long", "waiting");
    expect(await ask(`/stop ${id}`, { userId: "U2", threadTs: "T2" })).toContain("for operators only");
    expect(await ask(`/retry ${id}`)).toContain(`Run ${id} is open: waits for an answer to "Push it?"`);
    expect(await ask("/stop")).toContain(`message-${id} is not in the memory of this process`);
    await expect.poll(() => store.runs.run(id), PATIENTLY).toMatchObject({ status: "stopped" });
    expect(await ask(`/stop ${id}`)).toContain(`Message ${id} is not open`);

    expect(await ask(`/retry ${id}`, { userId: "U2" })).toContain("for operators only");
    expect(await ask(`/retry run-${id}`)).toBe(`Run ${id} goes on after its 2 finished steps.`);
    await expect.poll(() => store.runs.run(id), PATIENTLY).toMatchObject({ status: "waiting", round: 2 });
    expect(await ask(`/stop ${id}`, { threadTs: "T2" })).toContain("is not in the memory");
  });

  test("/retry has a failed run go on, and refuses one that is done; dead letters are for operators", async (t) => {
    const { ask, begin, broken, gateway } = await aChat(t);
    const id = await begin("/check", "failed");
    broken.isBroken = false;
    await ask(`/retry ${id}`);
    await expect.poll(() => gateway.texts(), PATIENTLY).toContain("completed: Repaired");
    expect(await ask(`/retry ${id}`)).toContain(`Run ${id} is done`);
    expect(await ask("/retry message-4711")).toContain("for operators only");
    expect(await ask("/retry message-4711", { userId: "boss" })).toContain(
      'There is no run and no dead letter "message-4711" that could be retried',
    );
  });

  test("/retry says that a run begins again where none of its steps was finished, and so does how it stands", async (t) => {
    const { ask, begin, store } = await aChat(t);
    const id = await begin("/empty", "failed");

    expect(await ask(`/logs ${id}`)).toContain(`The key is refused; \`/retry ${id}\` begins it again`);
    expect(await ask(`/retry ${id}`)).toBe(`Run ${id} begins again: none of its steps was finished.`);
    await expect.poll(() => store.runs.run(id), PATIENTLY).toMatchObject({ status: "failed", round: 2 });
  });

  test("/logs tells the steps, effects, questions and where the transcript is, to those of the channel", async (t) => {
    const { ask, begin, gateway } = await aChat(t, {
      transcriptsOf: async (run) => [`/var/robson/${run}.jsonl`],
    });
    const id = await begin("/long", "waiting");
    expect(await ask("/logs", { threadTs: "T2" })).toContain("There is no run in this thread");
    expect(await ask(`/logs ${id}`, { channelId: "C2", userId: "U2" })).toContain("There is no run");
    await ask(`/answer ${id} yes`);
    await expect.poll(() => gateway.texts(), PATIENTLY).toContain("completed: It is yes");
    const log = await ask("/logs");

    expect(log.replaceAll(String(id), "N").replaceAll("2030-01-01 00:00:00 UTC ", "")).toMatchInlineSnapshot(`
      "\`\`\`
      run N (long): PROJ-N
        Begun 2030-0N-0N 00:00:00 UTC (now) for UN through gateway "fake", channel "CN", thread "TN"
        Step N, "clone": done in 0 ms
        Step 2, "push": done in 0 ms
        Step 3, "tell": done in 0 ms
        Effect of "push", "robson/PROJ-N": made (now)
        Asked "Push it?": "yes" by UN (now)
        Last progress 2030-0N-0N 00:00:00 UTC (now): "Telling the ticket"
        Transcript: /var/robson/N.jsonl
        Now: done now, after 0 ms
      \`\`\`"
    `);
  });

  test("why says what a message waits for and what to type, and how a run that was stopped goes on", async (t) => {
    const { begin, store, clock, workers, ask } = await aChat(t);
    const id = await begin("/long", "waiting");
    const waiting = await told({ store, clock, workers, conversationId: id });
    await ask(`/stop ${id}`);
    const afterStop = () => told({ store, clock, workers, conversationId: id });
    await expect.poll(afterStop, PATIENTLY).toContain("all is delivered");
    expect(await store.runs.run(id)).toMatchObject({ status: "stopped" });
    const stopped = await afterStop();

    const lastLines = (text: string) => text.split("\n").slice(-2).join("\n").replaceAll(String(id), "N");
    expect(waiting).toContain('"PROJ-1", since 2030-01-01 00:00:00 UTC (now): 2 finished steps;');
    expect(lastLines(waiting)).toMatchInlineSnapshot(`
      "  Now: its run waits for an answer to "Push it?" since 2030-0N-0N 00:00:00 UTC (now): \`robson runs answer N yes | no\`
        Next: \`/answer N …\` in its chat, or a message in its thread, answers; \`/stop N\` or \`robson runs stop N\` ends it"
    `);
    expect(lastLines(stopped)).toMatchInlineSnapshot(`
      "  Now: its run is stopped now, after 0 ms: Stopped by UN; \`robson runs retry N\` goes on after its 2 finished steps
        Next: nothing; all is delivered"
    `);
  });

  test("a message behind a run of its thread waits in no line", async (t) => {
    const { gateway, store, going } = await aChat(t);
    const { conversationId } = await gateway.say("/hang", { threadTs: "T1" });
    await expect.poll(async () => (await store.runs.run(conversationId))?.steps, PATIENTLY).toHaveLength(1);
    const { conversationId: next } = await gateway.say("/check", { threadTs: "T1" });
    await expect.poll(() => store.runs.run(next), PATIENTLY).toBeDefined();
    expect(await store.operator.facts(next)).toMatchObject({
      isBehindMessages: [],
      run: { worker: "check" },
    });
    going.resolve();
  });
});

test("a run is meant by its number, however it is written", () => {
  expect(["12", " #12", "run-12", "Run 12", "message-12"].map(parseRunId)).toEqual([12, 12, 12, 12, 12]);
  expect(["", "0", "delivery-12", "12x", "run"].map(parseRunId)).toEqual(Array(5).fill(undefined));
});
