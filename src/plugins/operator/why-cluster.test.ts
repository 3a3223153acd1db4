/** `why` where several processes share a database: it names the one that has the message, and claims nothing of it. */
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { SensoriumLoop } from "../../core/sensorium-loop.ts";
import { openStore } from "../../store/open-store.ts";
import { aWorker } from "../../testing/builders.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { createDatabase } from "../../testing/postgres/database.ts";
import { stopWithin } from "../../testing/start-test-loop.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { createTestClock } from "../../testing/test-clock.ts";
import { operatorWorkers } from "./index.ts";
import { told } from "./why.fixture.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

/** Two processes, "alpha" and "beta", each with half of the threads; both work on one message at a time. */
async function alphaAndBeta(t: TestEnd) {
  const { url } = await createDatabase(t);
  const clock = createTestClock();
  const hang = aWorker(
    (_message, _args, { signal }) =>
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
    { name: "hang" },
  );
  const join = async (owner: string) => {
    const store = await openStore(url);
    const gateway = fakeGateway();
    const loop = new SensoriumLoop({
      store,
      clock,
      owner,
      limits: { maxConcurrentMessages: 1, stopGraceMs: 0 },
    });
    const workers = [hang];
    const limits = DEFAULT_LIMITS;
    const options = { store, records: store.operator, workers: () => workers, owner, limits };
    workers.push(...operatorWorkers({ ...options, operators: ["boss"], localGateways: [], clock }));
    for (const worker of workers) loop.registerWorker(worker);
    loop.registerGateway(gateway);
    await loop.start();
    t.onTestFinished(async () => {
      await stopWithin(loop, clock);
      await store.close();
    });
    return { store, gateway, loop, threads: [] as string[] };
  };
  const alpha = await join("alpha");
  const beta = await join("beta");
  const shares = async () =>
    (await alpha.store.operator.processes()).map(({ gateways }) => gateways[0]?.shards);
  await expect.poll(shares, PATIENTLY).toEqual([32, 32]);
  // Of beta's messages the first is handled, the second waits for a slot there.
  const ofBeta: number[] = [];
  for (let index = 0; ofBeta.length < 2 || alpha.threads.length === 0; index += 1) {
    const { conversationId } = await beta.gateway.say("work", { threadTs: `T${index}` });
    const facts = await alpha.store.operator.facts(conversationId);
    if (facts?.holder?.process === "beta") ofBeta.push(conversationId);
    else alpha.threads.push(`T${index}`);
  }
  return { alpha, beta, clock, workers: [hang], ofBeta };
}

describe("two processes on PostgreSQL", () => {
  test("a message that the other one has is said to be held there, since when, and is stopped there without a slot", async (t) => {
    const { alpha, clock, workers, ofBeta } = await alphaAndBeta(t);
    const { store } = alpha;
    const [running = 0, waiting = 0] = ofBeta;
    const ask = (conversationId: number, answering = "alpha") =>
      told({ store, clock, workers, conversationId, answering });
    const end = async (text: Promise<string>) => (await text).split("\n").slice(3).join("\n");
    await expect.poll(() => ask(running), PATIENTLY).toContain("is under way");

    expect(await end(ask(running))).toMatchInlineSnapshot(`
      "  Its thread is held by process 2, since 2030-01-01 00:00:00 UTC (now)
        Now: attempt 1 is under way in process 2"
    `);
    expect(await end(ask(waiting))).toMatchInlineSnapshot(`
      "  Its thread is held by process 2, since 2030-01-01 00:00:00 UTC (now)
        Now: is left to process 2, another process than the one that answers here: whether it waits for a free slot there, or is about to begin, is known to that one alone"
    `);
    expect(await end(ask(waiting, "beta"))).toMatchInlineSnapshot(`
      "  Its thread is held by process 2, since 2030-01-01 00:00:00 UTC (now)
        Now: waits for a free slot (limits.max_concurrent_messages, or its worker's maxConcurrent)"
    `);
    await clock.advance(1000);
    await store.requestStop(waiting, "ada");
    // The one that has it ends it, without a slot.
    await expect.poll(() => ask(waiting), PATIENTLY).toContain("all is delivered");
    expect(await end(ask(waiting))).toMatchInlineSnapshot(`
      "  Event 1, failed, emitted by the loop itself 2030-01-01 00:00:01 UTC (now): "Stopped by ada."
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:01 UTC (now) by attempt 1
        Now: stopped by ada 2030-01-01 00:00:01 UTC (now); it is not tried again
        Next: nothing; all is delivered"
    `);
  });

  test("/why, /status and /stop of one process are truthful about the other one's messages", async (t) => {
    const { alpha, beta, ofBeta } = await alphaAndBeta(t);
    const [running = 0, waiting = 0] = ofBeta;
    const answers = () => [...alpha.gateway.sent, ...beta.gateway.sent];
    /** In a thread that alpha has, so that alpha is who answers. */
    const ask = async (content: string) => {
      const { conversationId } = await alpha.gateway.say(content, {
        threadTs: alpha.threads[0] ?? "",
        userId: "boss",
      });
      const answer = () => answers().find((sent) => sent.conversationId === conversationId);
      await expect.poll(answer, PATIENTLY).toBeDefined();
      return answer()?.content ?? "";
    };

    expect(await ask("/status")).toContain(
      "1 other process runs the loop on this database; this is what alpha has open",
    );
    expect(await ask(`/why message-${waiting}`)).toContain("Its thread is held by beta, since");
    for (const id of [waiting, running])
      expect(await ask(`/stop message-${id}`)).toMatch(
        /^message-\d+ is not in the memory of this process; it ends/u,
      );

    const stopped = () => answers().filter(({ content }) => content === "Stopped by boss.");
    await expect.poll(() => stopped().length, PATIENTLY).toBe(2);
    expect(beta.gateway.sent).toEqual(expect.arrayContaining(stopped()));
    expect(await ask(`/stop message-${running}`)).toContain("is not open");
  });
});
