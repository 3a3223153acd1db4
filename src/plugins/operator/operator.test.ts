import { hostname } from "node:os";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import type { Worker } from "../../core/worker.ts";
import { openStore } from "../../store/open-store.ts";
import { aWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { createTestClock } from "../../testing/test-clock.ts";
import { operatorWorkers } from "./index.ts";
import { letterId, parseLetterId } from "./letter-id.ts";
import { duration, quoted } from "./words.ts";

/** A loop with the chat commands, a worker that hangs at `hang` and one that fails at `fail`. */
async function aChat(t: TestEnd, location: string, limits: Partial<Limits> = {}) {
  const store = await openStore(location);
  t.onTestFinished(() => store.close());
  const gateway = fakeGateway();
  const clock = createTestClock();
  let hanging = 0;
  const hang = () => {
    hanging += 1;
    return new Promise<never>(() => undefined);
  };
  const workers: Worker[] = [
    aWorker(hang, { name: "hang", pattern: "^hang" }),
    aWorker(async () => Promise.reject(new Error("boom")), {
      name: "fail",
      pattern: "^fail",
      maxAttempts: 1,
    }),
  ];
  const options = {
    store,
    records: store.operator,
    workers: () => workers,
    owner: `process ${process.pid} on ${hostname()}`,
    limits: DEFAULT_LIMITS,
  };
  workers.push(...operatorWorkers({ ...options, operators: ["fake:boss"], localGateways: ["cli"], clock }));
  const loop = await startTestLoop(t, { location, clock, gateways: [gateway], workers, limits });
  await loop.idle(); // before that, a memory that is half full has nothing read
  const ask = async (content: string, more: { userId?: string; threadTs?: string } = {}) => {
    const before = gateway.sent.length;
    const { conversationId } = await gateway.say(content, more);
    await expect
      .poll(() => gateway.sent.slice(before).some((sent) => sent.conversationId === conversationId))
      .toBe(true);
    return gateway.sent.findLast((sent) => sent.conversationId === conversationId)?.content ?? "";
  };
  /** Resolves when a worker hangs in each of the threads. */
  const hangIn = async (...threads: string[]) => {
    for (const threadTs of threads) await gateway.say("hang", { threadTs });
    await expect.poll(() => hanging).toBe(threads.length);
  };
  return { ...loop, gateway, ask, hangIn, hangs: () => hanging };
}

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("/status tells what runs in this thread, and everywhere to operators only", async (t) => {
    const { ask, hangIn } = await aChat(t, await create(t));
    await hangIn("T1");
    expect(await ask("/status", { threadTs: "T1" })).toContain("**message-1** (hang) has run for 0 ms");
    expect(await ask("/status", { threadTs: "T2" })).toContain("Nothing is open in this thread");
    const status = await ask("/status", { threadTs: "T2" });
    expect(status).toContain("1 message and 0 deliveries are open");
    expect(status).not.toContain("other process");
    expect(await ask("/status everything", { threadTs: "T2" })).toContain("scope must be thread or all");
    expect(await ask("/status all", { threadTs: "T2" })).toContain("for operators only");
    expect(await ask("/status all", { threadTs: "T2", userId: "boss" })).toContain("message-1");
  });

  test("/stop ends what is open in its thread; what is open in another one only for operators", async (t) => {
    const { gateway, ask, hangIn } = await aChat(t, await create(t));
    await hangIn("T1", "T2");
    expect(await ask("/stop message-1", { threadTs: "T2" })).toContain("for operators only");
    expect(await ask("/stop", { threadTs: "T1" })).toBe("Stopped message-1.");
    expect(await ask("/stop 2", { threadTs: "T3", userId: "boss" })).toBe("Stopped message-2.");
    expect(await ask("/stop 99")).toContain("Message 99 is not open");
    await expect.poll(() => gateway.texts()).toContain("failed: Stopped by U1.");
  });

  test("/stop says so of what is open and not in memory, which ends before it is begun", async (t) => {
    const { ask, gateway, loop, hangIn, hangs } = await aChat(t, await create(t), { maxLoaded: 2 });
    await hangIn("T1", "T2");
    for (const threadTs of ["T3", "T1"]) await gateway.say("hang", { threadTs });
    expect(loop.control?.openMessages().map(({ conversationId }) => conversationId)).toEqual([1, 2]);

    expect(await ask("/stop message-3", { threadTs: "T4" })).toContain("for operators only");
    expect(await ask("/stop message-3", { threadTs: "T3" })).toMatch(
      /^message-3 is not in the memory of this process; it ends as soon as whoever has the thread/u,
    );
    expect(await ask("/why message-3", { threadTs: "T3" })).toContain("; U1 has stopped it");
    const both = /^Stopped message-1\. message-4 is not in the memory/u;
    expect(await ask("/stop", { threadTs: "T1" })).toMatch(both);
    expect(await ask("/stop", { threadTs: "T2" })).toBe("Stopped message-2.");
    const stopped = () => gateway.texts().filter((text) => text === "failed: Stopped by U1.");
    await expect.poll(() => stopped().length).toBe(4);
    expect(hangs()).toBe(2);
  });

  test("/why explains a message of its channel", async (t) => {
    const { ask } = await aChat(t, await create(t));
    await ask("fail now");
    expect(await ask("/why message-1")).toContain('Attempt 1 by worker "fail" failed');
    expect(await ask("/why")).toContain("id is missing: give a text (a message, its external id or a task");
    expect(await ask("/why 77")).toContain("There is no such message in this channel");
  });

  test("/dead-letters lists, retries and discards for operators, and for nobody else", async (t) => {
    const { ask, store, idle } = await aChat(t, await create(t));
    await ask("fail now");
    await idle();
    expect(await ask("/dead-letters")).toContain("You may not use this here");
    expect(await ask("/dead-letters", { userId: "boss" })).toContain("**message-1** (fake, now): boom");
    expect(await ask("/dead-letters retyr message-1", { userId: "boss" })).toContain("did you mean retry?");
    expect(await ask("/dead-letters retry", { userId: "boss" })).toContain("and up to 100 ids");
    expect(await ask("/dead-letters discard message-1 message-9", { userId: "boss" })).toContain("message-9");
    expect(await store.operator.deadLetters({ limit: 9 })).toHaveLength(1);
    expect(await ask("/dead-letters discard message-1", { userId: "boss" })).toBe("message-1 is closed.");
  });
});

test("the id of a letter is read back as it is shown", () => {
  const delivery = { conversationId: 1, delivery: { eventId: 34 }, deliveryId: "2b1f9c03-aaaa-4bbb" };
  expect(parseLetterId(letterId(delivery))).toEqual({
    kind: "delivery",
    eventId: 34,
    deliveryIdStart: "2b1f9c03",
  });
  expect(parseLetterId(" Message-12 ")).toEqual({ kind: "message", conversationId: 12 });
  expect([parseLetterId("message-12-x"), parseLetterId("12"), parseLetterId("delivery-0")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("durations and quotations are short, whatever they are of", () => {
  expect([250, 3000, 125_000, 3_600_000, 5_400_000, 100_000_000].map(duration)).toEqual([
    ...["250 ms", "3 s", "2 min 5 s", "1 h", "1 h 30 min", "1 day 3 h"],
  ]);
  expect(quoted(`a\n b${"x".repeat(500)}`)).toHaveLength(82);
  expect(quoted(`e${"\u0301".repeat(9999)}`).length).toBeLessThan(403);
});
