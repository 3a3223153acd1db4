/** `why` of messages: for every fault of a worker, the true cause. */
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { WorkerError } from "../../core/errors.ts";
import { openStore } from "../../store/open-store.ts";
import { aMessage, aWorker, echoWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import { createTestClock } from "../../testing/test-clock.ts";
import { told } from "./why.fixture.ts";

const never = () => new Promise<never>(() => undefined);
const PATIENTLY = { timeout: 20_000 };

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a worker that throws: each attempt with its error and wait, then the dead letter", async (t) => {
    const gateway = fakeGateway();
    const limits = { maxMessageAttempts: 2 };
    const workers = [
      aWorker(async () => Promise.reject(new Error("the tracker is away")), { command: "/do" }),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers, limits });
    await gateway.say("/do it", { threadTs: "T1", idempotencyKey: "k1" });
    await loop.idle();
    const retrying = await told({ ...loop, workers, limits });
    await loop.clock.advance(1000);
    await loop.idle();

    expect(retrying).toMatchInlineSnapshot(`
      "message-1: "/do it"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", thread "T1", from user "U1", with the idempotency key "k1": a second copy runs nothing
        Matched by the command /do, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:00:00 UTC (now): the tracker is away; the next one was due after 1 s
        Now: waits for attempt 2 of 2, 2030-01-01 00:00:01 UTC (in 1 s)"
    `);
    expect(await told({ ...loop, workers, limits })).toMatchInlineSnapshot(`
      "message-1: "/do it"
        Received 2030-01-01 00:00:00 UTC (1 s ago) through gateway "fake", channel "C1", thread "T1", from user "U1", with the idempotency key "k1": a second copy runs nothing
        Matched by the command /do, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:00:00 UTC (1 s ago): the tracker is away; the next one was due after 1 s
        Attempt 2 by worker "w" failed 2030-01-01 00:00:01 UTC (now): the tracker is away; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:01 UTC (now): "I could not do this: the tracker is away Send it again, or ask whoever runs me …"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:01 UTC (now) by attempt 1
        Now: a dead letter; all 2 attempts failed, the last one with: the tracker is away
        Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
    `);
  });

  test("a database without an owner, and a second copy that was recognised", async (t) => {
    const store = await openStore(await create(t));
    t.onTestFinished(() => store.close());
    await store.insertUnowned(aMessage({ content: "/echo once", idempotencyKey: "same" }));
    const copy = await store.insertUnowned(aMessage({ content: "/echo once", idempotencyKey: "same" }));

    expect(copy.isDuplicate).toBe(true);
    expect(await store.operator.messagesByKey("same")).toEqual([copy.conversationId]);
    expect(await told({ store, clock: createTestClock(), workers: [echoWorker] })).toMatchInlineSnapshot(`
      "message-1: "/echo once"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", with the idempotency key "same": a second copy runs nothing
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Now: waits for a process that runs the loop: none does now; start \`robson agent\`"
    `);
  });

  test("stopped by a person, and the message that waited in line behind it", async (t) => {
    const gateway = fakeGateway();
    const workers = [aWorker(never)];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await loop.idle();
    const { conversationId } = await gateway.say("first");
    await gateway.say("second");
    const waiting = await told({ ...loop, workers });
    loop.loop.control?.stop(conversationId, "ada");
    const stopped = () => told({ ...loop, workers, conversationId, gateways: ["fake"] });
    await expect.poll(stopped, PATIENTLY).toContain("all is delivered");

    expect(waiting).toMatchInlineSnapshot(`
      "message-2: "second"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Now: waits in line behind message-1 of the same thread"
    `);
    expect(await stopped()).toMatchInlineSnapshot(`
      "message-1: "first"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "Stopped by ada."
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: stopped by ada 2030-01-01 00:00:00 UTC (now); it is not tried again
        Next: nothing; all is delivered"
    `);
  });

  test("matched by nothing, and not allowed", async (t) => {
    const gateway = fakeGateway();
    const workers = [{ ...echoWorker, mayUse: () => false }];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("good morning");
    await loop.idle();
    const unmatched = await told({ ...loop, workers });
    await gateway.say("/echo hello");
    await loop.idle();

    expect(unmatched).toMatchInlineSnapshot(`
      "message-1: "good morning"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no worker (recomputed from the workers that are registered now)
        Event 1, completed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I do not know what to do with this. \`/help\` lists what I understand."
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: done; no worker took it, and its user was told so 2030-01-01 00:00:00 UTC (now)
        Next: nothing; all is delivered"
    `);
    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-2: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo"; its user may not use it there (recomputed from the workers that are registered now)
        Event 2, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): a refusal
          delivery-2-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: refused 2030-01-01 00:00:00 UTC (now): its user may not use what it asked for there
        Next: nothing; all is delivered"
    `);
  });

  test("an error for good, and a dead letter that a person discarded", async (t) => {
    const gateway = fakeGateway();
    const workers = [
      aWorker(async () => Promise.reject(new WorkerError("there is no such task", { retry: "never" }))),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("go");
    await loop.idle();
    const dead = await told({ ...loop, workers });
    const [letter] = await loop.store.operator.deadLetters({ limit: 1 });
    if (letter) await loop.store.discardDeadLetter(letter);

    expect(dead).toMatchInlineSnapshot(`
      "message-1: "go"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:00:00 UTC (now): there is no such task; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: there is no such task Send it again, or ask whoever runs m…"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: a dead letter; attempt 1 failed for good: there is no such task
        Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
    `);
    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "go"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:00:00 UTC (now): there is no such task; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: there is no such task Send it again, or ask whoever runs m…"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: discarded by a person, after it was a dead letter (there is no such task)
        Next: nothing; all is delivered"
    `);
  });

  test("a worker that takes too long, and goes on although its signal was aborted", async (t) => {
    const gateway = fakeGateway();
    const limits = { workerTimeoutMs: 60_000 };
    const workers = [aWorker(never, { pattern: "slow" })];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers, limits });
    await gateway.say("be slow");
    await expect.poll(() => loop.loop.control?.openMessages()[0]?.state, PATIENTLY).toBe("running");
    await loop.clock.advance(60_000);
    await loop.idle();
    await loop.clock.advance(60_000);

    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "be slow"
        Received 2030-01-01 00:00:00 UTC (2 min ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the pattern slow, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:01:00 UTC (1 min ago): Worker "w" took longer than 60000 ms; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:01:00 UTC (1 min ago): "I could not do this: Worker "w" took longer than 60000 ms Ask for less at once,…"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:01:00 UTC (1 min ago) by attempt 1
        Now: a dead letter; attempt 1 failed for good: Worker "w" took longer than 60000 ms
        Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
    `);
  });

  test("arguments that the worker does not take", async (t) => {
    const gateway = fakeGateway();
    const workers = [
      aWorker(never, { name: "deploy", command: "/deploy", args: z.object({ count: z.number() }) }),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("/deploy many");
    await loop.idle();

    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "/deploy many"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /deploy, of worker "deploy" (recomputed from the workers that are registered now)
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "- count must be a number, not "many" Usage: \`/deploy <count>\`"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: refused 2030-01-01 00:00:00 UTC (now): "- count must be a number, not "many" Usage: \`/deploy <count>\`"
        Next: nothing; all is delivered"
    `);
  });

  test("a rule of who may use a worker that fails itself", async (t) => {
    const gateway = fakeGateway();
    const mayUse = () => {
      throw new Error("the directory is away");
    };
    const workers = [{ ...echoWorker, mayUse }];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("/echo hello");
    await loop.idle();

    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo"; whether its user may use it cannot be said: the directory is away (recomputed from the workers that are registered now)
        Attempt 1 failed 2030-01-01 00:00:00 UTC (now): the directory is away; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: the directory is away Send it again, or ask whoever runs m…"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: a dead letter; attempt 1 failed for good: the directory is away
        Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
    `);
  });

  test("a worker that passes, one that answers nothing, and a thread that had its hint before", async (t) => {
    const gateway = fakeGateway();
    const workers = [
      aWorker(async () => false, { name: "shy", pattern: "say" }),
      aWorker(async () => undefined, { name: "silent", pattern: "nothing" }),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    const toldAfter = async (content: string, isAddressed = true) => {
      await gateway.say(content, { isAddressed });
      await loop.idle();
      return told({ ...loop, workers });
    };

    expect(await toldAfter("say nothing")).toMatchInlineSnapshot(`
      "message-1: "say nothing"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the pattern say, of worker "shy"; asked after it: "silent" (recomputed from the workers that are registered now)
        Now: done, without an answer: its worker gave none, or passed it on and nobody took it
        Next: nothing"
    `);
    expect(await toldAfter("say it")).toMatchInlineSnapshot(`
      "message-2: "say it"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the pattern say, of worker "shy" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I do not know what to do with this. \`/help\` lists what I understand."
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: done; no worker took it, and its user was told so 2030-01-01 00:00:00 UTC (now)
        Next: nothing; all is delivered"
    `);
    expect(await toldAfter("say it again")).toMatchInlineSnapshot(`
      "message-3: "say it again"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the pattern say, of worker "shy" (recomputed from the workers that are registered now)
        Now: done, without an answer: its worker gave none, or passed it on and nobody took it
        Next: nothing"
    `);
    expect(await toldAfter("hello", false)).toMatchInlineSnapshot(`
      "message-4: "hello"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no worker (recomputed from the workers that are registered now); it was not addressed to the bot
        Now: done; no worker took it, and nothing was answered because it was not addressed to the bot
        Next: nothing"
    `);
  });

  test("a dead letter that a person retried", async (t) => {
    const gateway = fakeGateway();
    let isBroken = true;
    const workers = [
      aWorker(async (_message, _args, { emit }) => {
        if (isBroken) throw new WorkerError("the key is refused", { retry: "never" });
        await emit("completed", "well");
      }),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("go");
    await loop.idle();
    isBroken = false;
    const [letter] = await loop.store.operator.deadLetters({ limit: 1 });
    if (letter) await loop.store.retryDeadLetter(letter);
    await expect.poll(() => gateway.texts(), PATIENTLY).toContain("completed: well");
    await loop.idle();

    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "go"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:00:00 UTC (now): the key is refused; it was a dead letter, until a person retried it
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: the key is refused Send it again, or ask whoever runs me t…"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Event 2, completed, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "well"
          delivery-2-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: done; worker "w" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: nothing; all is delivered"
    `);
  });

  test("a message whose next attempt is due while a later one of its thread is handled", async (t) => {
    const gateway = fakeGateway();
    const workers = [
      aWorker(async () => Promise.reject(new Error("not now")), { name: "w1", pattern: "^first" }),
      aWorker(never, { name: "w2", pattern: "^second" }),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    const { conversationId } = await gateway.say("first");
    await loop.idle();
    await gateway.say("second");
    await loop.clock.advance(1000);

    expect(await told({ ...loop, workers, conversationId })).toMatchInlineSnapshot(`
      "message-1: "first"
        Received 2030-01-01 00:00:00 UTC (1 s ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the pattern ^first, of worker "w1" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w1" failed 2030-01-01 00:00:00 UTC (1 s ago): not now; the next one was due after 1 s
        Now: waits in line behind message-2 of the same thread"
    `);
  });

  test("a message that a stop handed back", async (t) => {
    const location = await create(t);
    const gateway = fakeGateway();
    const workers = [aWorker(never)];
    const loop = await startTestLoop(t, { location, gateways: [gateway], workers });
    await gateway.say("long");
    await loop.stop();
    const store = await openStore(location);
    t.onTestFinished(() => store.close());

    expect(await told({ store, clock: createTestClock(), workers })).toMatchInlineSnapshot(`
      "message-1: "long"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Now: waits for a process that runs the loop: none does now; start \`robson agent\`"
    `);
  });
});
