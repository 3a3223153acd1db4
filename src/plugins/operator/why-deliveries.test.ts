/** `why` of deliveries: for every fault of a platform, the true cause. */
import { describe, expect, test } from "vitest";
import { DeliveryError, WorkerError } from "../../core/errors.ts";
import { openStore } from "../../store/open-store.ts";
import { aMessage, aWorker, echoWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import { told } from "./why.fixture.ts";

const never = () => new Promise<never>(() => undefined);
const PATIENTLY = { timeout: 20_000 };
/** So that a day passes in two dozen looks at the database. */
const limits = { fallbackPollMs: 3_600_000 };

describe.each(databaseKinds)("on $name", ({ create }) => {
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
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("work");
    await expect
      .poll(async () => (await loop.store.events(1))[0]?.deliveries[0]?.lastError, PATIENTLY)
      .toBeTruthy();
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
        Next: nothing; 1 delivery closed, 1 delivery arrived"
    `);
  });

  test("a gateway that does not run", async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    await store.insertUnowned(aMessage({ content: "/echo hello", gateway: "slack" }));
    await store.close();
    const options = { location, gateways: [fakeGateway()], workers: [echoWorker], limits };
    const loop = await startTestLoop(t, options);
    const waiting = await told({ ...loop, workers: [echoWorker] });
    await loop.clock.advance(25 * 3_600_000);
    await expect.poll(async () => (await loop.store.conversation(1))?.status, PATIENTLY).toBe("dead");

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

  test("a platform that never answers, and one that turns out to have it already", async (t) => {
    let isThere = false;
    const gateway = fakeGateway({ onSend: never, find: async () => isThere });
    const loop = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echoWorker],
      limits: { sendTimeoutMs: 1000 },
    });
    await gateway.say("/echo hello");
    await expect.poll(() => gateway.attempted.length, PATIENTLY).toBe(1);
    await loop.clock.advance(1000);
    await expect
      .poll(async () => (await loop.store.events(1))[0]?.deliveries[0]?.lastError, PATIENTLY)
      .toBeTruthy();
    // The loop knows of it too, so that the next attempt has its time.
    await loop.idle();
    const waiting = await told({ ...loop, workers: [echoWorker] });
    isThere = true;
    await loop.clock.advance(1000);
    await loop.idle();

    expect(waiting).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (1 s ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (1 s ago): "hello"
          delivery-1-ID to "C1" through gateway "fake": waits for attempt 2 of 20, 2030-01-01 00:00:02 UTC (in 1 s)
            Attempt 1 failed 2030-01-01 00:00:01 UTC (now): Gateway "fake" did not answer within 1000 ms; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (1 s ago)
        Next: 1 delivery to come, the next attempt 2030-01-01 00:00:02 UTC (in 1 s)"
    `);
    expect(await told({ ...loop, workers: [echoWorker] })).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (2 s ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (2 s ago): "hello"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:02 UTC (now) by attempt 2
            Attempt 1 failed 2030-01-01 00:00:01 UTC (1 s ago): Gateway "fake" did not answer within 1000 ms; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (2 s ago)
        Next: nothing; all is delivered"
    `);
  });

  test("a delivery that is out of attempts, and was discarded", async (t) => {
    const gateway = fakeGateway({ failures: 2 });
    const limits = { maxDeliveryAttempts: 2 };
    const loop = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echoWorker],
      limits,
    });
    await gateway.say("/echo hello");
    await loop.idle();
    await loop.clock.advance(1000);
    await loop.idle();
    const dead = await told({ ...loop, workers: [echoWorker], limits });
    const [letter] = await loop.store.operator.deadLetters({ limit: 1 });
    if (letter) await loop.store.discardDeadLetter(letter);

    expect(dead).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (1 s ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (1 s ago): "hello"
          delivery-1-ID to "C1" through gateway "fake": a dead letter, all 2 attempts failed, the last one with: the platform is down; nothing more happens until \`robson dead-letters retry delivery-1-ID\`
            Attempt 1 failed 2030-01-01 00:00:00 UTC (1 s ago): the platform is down; the next one was due after 1 s
            Attempt 2 failed 2030-01-01 00:00:01 UTC (now): the platform is down
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (1 s ago)
        Next: 1 delivery dead"
    `);
    expect(await told({ ...loop, workers: [echoWorker], limits })).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (1 s ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (1 s ago): "hello"
          delivery-1-ID to "C1" through gateway "fake": discarded by a person, after it was a dead letter
            Attempt 1 failed 2030-01-01 00:00:00 UTC (1 s ago): the platform is down; the next one was due after 1 s
            Attempt 2 failed 2030-01-01 00:00:01 UTC (now): the platform is down
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (1 s ago)
        Next: nothing; 1 delivery closed, none is delivered"
    `);
  });

  test("the last word about a dead letter that has not arrived yet", async (t) => {
    const gateway = fakeGateway({ failures: 1 });
    const workers = [
      aWorker(async () => Promise.reject(new WorkerError("there is no such task", { retry: "never" }))),
    ];
    const loop = await startTestLoop(t, { location: await create(t), gateways: [gateway], workers });
    await gateway.say("go");
    await loop.idle();

    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "go"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 by worker "w" failed 2030-01-01 00:00:00 UTC (now): there is no such task; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: there is no such task Send it again, or ask whoever runs m…"
          delivery-1-ID to "C1" through gateway "fake": waits for attempt 2 of 20, 2030-01-01 00:00:01 UTC (in 1 s)
            Attempt 1 failed 2030-01-01 00:00:00 UTC (now): the platform is down; the next one was due after 1 s
        Now: a dead letter; attempt 1 failed for good: there is no such task
        Next: 1 delivery to come, the next attempt 2030-01-01 00:00:01 UTC (in 1 s); for the message itself, nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
    `);
  });

  test("an event that waits behind another one of its thread", async (t) => {
    const gateway = fakeGateway({ failures: 1 });
    const loop = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echoWorker],
    });
    await gateway.say("/echo one");
    await gateway.say("/echo two");
    await loop.idle();

    expect(await told({ ...loop, workers: [echoWorker] })).toMatchInlineSnapshot(`
      "message-2: "/echo two"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 2, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (now): "two"
          delivery-2-ID to "C1" through gateway "fake": waits behind event 1 of the same thread, so that they arrive in order
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: 1 delivery to come"
    `);
  });

  test("an answer for a gateway that does not run any more", async (t) => {
    const location = await create(t);
    const failing = fakeGateway({ name: "gone", failures: 1 });
    const first = await startTestLoop(t, { location, gateways: [failing], workers: [echoWorker] });
    await failing.say("/echo hello");
    await first.idle();
    await first.stop();
    // Its own clock: a stop moves that of the loop that it stops.
    const options = { location, gateways: [fakeGateway()], workers: [echoWorker], limits };
    const loop = await startTestLoop(t, options);
    await loop.idle();
    const waiting = await told({ ...loop, workers: [echoWorker] });
    await loop.clock.advance(25 * 3_600_000);
    await expect
      .poll(async () => (await loop.store.operator.deadLetters({ limit: 1 })).length, PATIENTLY)
      .toBe(1);

    expect(waiting).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "gone", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (now): "hello"
          delivery-1-ID to "C1" through gateway "gone": waits for gateway "gone", which the process that runs the loop does not have; a dead letter 2030-01-02 00:00:00 UTC (in 1 day) if that stays so
            Attempt 1 failed 2030-01-01 00:00:00 UTC (now): the platform is down; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: 1 delivery to come"
    `);
    expect(await told({ ...loop, workers: [echoWorker] })).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (1 day 1 h ago) through gateway "gone", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (1 day 1 h ago): "hello"
          delivery-1-ID to "C1" through gateway "gone": a dead letter: no process ran gateway "gone" in time; before that: the platform is down; nothing more happens until \`robson dead-letters retry delivery-1-ID\`
            Attempt 1 failed 2030-01-01 00:00:00 UTC (1 day 1 h ago): the platform is down; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (1 day 1 h ago)
        Next: 1 delivery dead"
    `);
  });

  test("a subscriber that fails, and is deleted", async (t) => {
    const gateway = Object.assign(fakeGateway({ failures: 1, targets: () => [] }), { hasSubscribers: true });
    const loop = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echoWorker],
    });
    const { subscribers } = loop.store;
    const added = await subscribers.add(
      { callbackUrl: "https://a.example/", description: null },
      { maxSubscribers: 9 },
    );
    await gateway.say("/echo hello");
    await loop.idle();
    await subscribers.remove(added?.subscriber.id ?? 0);

    expect(await told({ ...loop, workers: [echoWorker] })).toMatchInlineSnapshot(`
      "message-1: "/echo hello"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (now): "hello"
          delivery-1-ID to subscriber "https://a.example/" through gateway "fake": closed, because its subscriber was deleted
            Attempt 1 failed 2030-01-01 00:00:00 UTC (now): the platform is down; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: nothing; 1 delivery closed, none is delivered"
    `);
  });

  test("a message of no gateway, whose copies fare differently", async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    await store.insertUnowned(aMessage({ content: "/echo news", gateway: null }));
    await store.close();
    const loop = await startTestLoop(t, {
      location,
      gateways: [
        fakeGateway({ name: "sound", defaultChannelId: "all" }),
        fakeGateway({ name: "weak", defaultChannelId: "home", failures: 1 }),
      ],
      workers: [echoWorker],
    });
    await expect.poll(async () => (await loop.store.conversation(1))?.status, PATIENTLY).toBe("done");
    await loop.idle();

    expect(
      await told({ ...loop, workers: [echoWorker], gateways: ["sound", "weak"] }),
    ).toMatchInlineSnapshot(`
      "message-1: "/echo news"
        Received 2030-01-01 00:00:00 UTC (now) through no gateway, channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "echo" 2030-01-01 00:00:00 UTC (now): "news"
          delivery-1-ID to "all" through gateway "sound": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
          delivery-1-ID to "home" through gateway "weak": waits for attempt 2 of 20, 2030-01-01 00:00:01 UTC (in 1 s)
            Attempt 1 failed 2030-01-01 00:00:00 UTC (now): the platform is down; the next one was due after 1 s
        Now: done; worker "echo" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: 1 delivery to come, the next attempt 2030-01-01 00:00:01 UTC (in 1 s)"
    `);
  });
});
