import { describe, expect, test } from "vitest";
import { DeliveryError, WorkerError } from "../../core/errors.ts";
import { openStore } from "../../store/open-store.ts";
import { aMessage, aWorker, echoWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { createTestClock } from "../../testing/test-clock.ts";
import { killedAt, told } from "./why.fixture.ts";

const never = () => new Promise<never>(() => undefined);

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

  test("a delivery that fails with 500 and then arrives, and one that is refused for good", async (t) => {
    const gateway = fakeGateway({
      failures: 1,
      failWith: () => new DeliveryError("the platform answered 500", { retry: "later" }),
    });
    const refusing = fakeGateway({
      name: "refusing",
      failures: 1,
      failWith: () => new DeliveryError("the channel is gone", { retry: "never" }),
    });
    const loop = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway, refusing],
      workers: [echoWorker],
    });
    const gateways = ["fake", "refusing"];
    await gateway.say("/echo hello");
    await loop.idle();
    const waiting = await told({ ...loop, workers: [echoWorker], gateways });
    await loop.clock.advance(1000);
    await loop.idle();
    const delivered = await told({ ...loop, workers: [echoWorker], gateways });
    await refusing.say("/echo hello");
    await loop.idle();

    expect(waiting).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (now): "hello"
          delivery-1-ID to "C1" through gateway "fake": waits for attempt 2 of 20, 2030-01-01 00:00:01 UTC (in 1 s)
            Attempt 1 failed 2030-01-01 00:00:00 UTC (now): the platform answered 500; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: 1 delivery to come, the next attempt 2030-01-01 00:00:01 UTC (in 1 s)"
    `);
    expect(delivered).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (1 s ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (1 s ago): "hello"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:01 UTC (now) by attempt 2
            Attempt 1 failed 2030-01-01 00:00:00 UTC (1 s ago): the platform answered 500; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (1 s ago)
        Next: nothing; all is delivered"
    `);
    expect(await told({ ...loop, workers: [echoWorker], gateways })).toMatchInlineSnapshot(`
      "message-2: "/echo hello"
        Received 2030-01-01 00:00:01 UTC (now) through gateway "refusing", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 2, completed, emitted by worker "echo" 2030-01-01 00:00:01 UTC (now): "hello"
          delivery-2-ID to "C1" through gateway "refusing": a dead letter, attempt 1 failed for good: the channel is gone; nothing more happens until \`robson dead-letters retry delivery-2-ID\`
            Attempt 1 failed 2030-01-01 00:00:01 UTC (now): the channel is gone
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:01 UTC (now)
        Next: 1 delivery dead"
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
});

test("a worker that takes too long", async (t) => {
  const gateway = fakeGateway();
  const workers = [aWorker(never, { pattern: "slow" })];
  const loop = await startTestLoop(t, { gateways: [gateway], workers, limits: { workerTimeoutMs: 60_000 } });
  await gateway.say("be slow");
  await loop.clock.advance(60_000);
  await loop.idle();
  expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
    "message-1: "be slow"
      Received 2030-01-01 00:00:00 UTC (1 min ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by the pattern slow, of worker "w" (recomputed from the workers that are registered now)
      Attempt 1 by worker "w" failed 2030-01-01 00:01:00 UTC (now): Worker "w" took longer than 60000 ms; there was no other
      Event 1, failed, emitted by the loop itself 2030-01-01 00:01:00 UTC (now): "I could not do this: Worker "w" took longer than 60000 ms Ask for less at once,…"
        delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:01:00 UTC (now) by attempt 1
      Now: a dead letter; attempt 1 failed for good: Worker "w" took longer than 60000 ms
      Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
  `);
});

test("stopped by a person, and the message that waited in line behind it", async (t) => {
  const gateway = fakeGateway();
  const workers = [aWorker(never)];
  const loop = await startTestLoop(t, { gateways: [gateway], workers });
  const { conversationId } = await gateway.say("first");
  await gateway.say("second");
  const waiting = await told({ ...loop, workers });
  loop.loop.control?.stop(conversationId, "ada");
  await expect.poll(async () => (await loop.store.conversation(conversationId))?.status).toBe("done");

  expect(waiting).toMatchInlineSnapshot(`
    "message-2: "second"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Now: waits in line behind message-1 of the same thread"
  `);
  expect(await told({ ...loop, workers, conversationId, gateways: ["fake"] })).toMatchInlineSnapshot(`
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
  const loop = await startTestLoop(t, { gateways: [gateway], workers });
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

test("a platform that asks to wait, and a later event that takes the place of failed progress", async (t) => {
  const gateway = fakeGateway({
    failures: 1,
    failWith: () => new DeliveryError("429 Too Many Requests", { retry: "later", retryAfterMs: 120_000 }),
  });
  const go = Promise.withResolvers<void>();
  const workers = [
    aWorker(async (_message, _args, { emit }) => {
      await emit("progress", "half");
      await go.promise;
      await emit("completed", "whole");
    }),
  ];
  const loop = await startTestLoop(t, { gateways: [gateway], workers });
  await gateway.say("work");
  await expect.poll(async () => (await loop.store.events(1))[0]?.deliveries[0]?.lastError).toBeTruthy();
  const waiting = await told({ ...loop, workers });
  go.resolve();
  await loop.idle();

  expect(waiting).toMatchInlineSnapshot(`
    "message-1: "work"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Event 1, progress, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "half"
        delivery-1-ID to "C1" through gateway "fake": waits for attempt 2 of 20, 2030-01-01 00:02:00 UTC (in 2 min)
          Attempt 1 failed 2030-01-01 00:00:00 UTC (now): 429 Too Many Requests; the next one was due after 2 min
      Now: attempt 1 is under way in the owner"
  `);
  expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
    "message-1: "work"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Event 1, progress, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "half"
        delivery-1-ID to "C1" through gateway "fake": superseded: its attempt failed (429 Too Many Requests), and a later event took its place
          Attempt 1 failed 2030-01-01 00:00:00 UTC (now): 429 Too Many Requests; the next one was due after 2 min
      Event 2, completed, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "whole"
        delivery-2-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
      Now: done; worker "w" ended it with completed 2030-01-01 00:00:00 UTC (now)
      Next: nothing; all is delivered"
  `);
});

test("a gateway that does not run", async (t) => {
  const folder = await temporaryFolder(t);
  const location = `${folder}/robson.db`;
  const store = await openStore(location);
  await store.insertUnowned(aMessage({ content: "/echo hello", gateway: "slack" }));
  await store.close();
  const loop = await startTestLoop(t, { location, gateways: [fakeGateway()], workers: [echoWorker] });
  const waiting = await told({ ...loop, workers: [echoWorker] });
  await loop.clock.advance(25 * 3_600_000);
  await expect.poll(async () => (await loop.store.conversation(1))?.status).toBe("dead");

  expect(waiting).toMatchInlineSnapshot(`
    "message-1: "/echo hello"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "slack", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
      Now: waits for gateway "slack", which the process that runs the loop does not have; a dead letter 2030-01-02 00:00:00 UTC (in 1 day) if that stays so"
  `);
  expect(await told({ ...loop, workers: [echoWorker] })).toMatchInlineSnapshot(`
    "message-1: "/echo hello"
      Received 2030-01-01 00:00:00 UTC (1 day 1 h ago) through gateway "slack", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
      Now: a dead letter; No process ran its gateway in time
      Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
  `);
});

test("a process that is killed once, then again and again", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const workers = [aWorker(never)];
  await killedAt("handle", { location, say: "poison" });
  const store = await openStore(location);
  const once = await told({ store, clock: createTestClock(), workers });
  await store.close();
  await killedAt("handle", { location });
  await killedAt("handle", { location });
  const limits = { maxInterruptions: 3 };
  const loop = await startTestLoop(t, { location, gateways: [fakeGateway()], workers, limits });
  await loop.idle();

  expect(once).toMatchInlineSnapshot(`
    "message-1: "poison"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Now: attempt 1 was interrupted when its process ended; it waits for a process that runs the loop: none does now; start \`robson agent\`"
  `);
  expect(await told({ ...loop, workers, limits })).toMatchInlineSnapshot(`
    "message-1: "poison"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Attempt 1 was interrupted: the process ended during it; that was noticed 2030-01-01 00:00:00 UTC (now), and the next attempt began at once
      Attempt 2 was interrupted: the process ended during it; that was noticed 2030-01-01 00:00:00 UTC (now), and the next attempt began at once
      Attempt 3 failed 2030-01-01 00:00:00 UTC (now): The process ended 3 times while it was handled; there was no other
      Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: The process ended 3 times while it was handled Look in the…"
        delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
      Now: a dead letter; The process ended 3 times while it was handled; it is not begun again by itself, because it may be what ends the process
      Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
  `);
}, 60_000);

test("a process that is killed while it sends", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const workers = [aWorker(never)];
  await killedAt("send", { location, say: "ask" });
  const store = await openStore(location);
  const open = await told({ store, clock: createTestClock(), workers });
  await store.close();
  const loop = await startTestLoop(t, { location, gateways: [fakeGateway()], workers });
  await loop.idle();

  expect(open).toMatchInlineSnapshot(`
    "message-1: "ask"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Event 1, completed, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "answer"
        delivery-1-ID to "C1" through gateway "fake": attempt 1 was interrupted, and its outcome is unknown; waits for a process that runs the loop: none does now; start \`robson agent\`
      Now: done; worker "w" ended it with completed 2030-01-01 00:00:00 UTC (now)
      Next: 1 delivery to come"
  `);
  expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
    "message-1: "ask"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
      Event 1, completed, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "answer"
        delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 2
          Attempt 1 was interrupted: the process ended during it; noticed 2030-01-01 00:00:00 UTC (now)
      Now: done; worker "w" ended it with completed 2030-01-01 00:00:00 UTC (now)
      Next: nothing; all is delivered"
  `);
}, 60_000);

test("an error for good, and a dead letter that a person discarded", async (t) => {
  const gateway = fakeGateway();
  const workers = [
    aWorker(async () => Promise.reject(new WorkerError("there is no such task", { retry: "never" }))),
  ];
  const loop = await startTestLoop(t, { gateways: [gateway], workers });
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
