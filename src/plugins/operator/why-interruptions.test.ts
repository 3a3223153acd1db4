/** `why` of what ended with its process. */
import { describe, expect, test } from "vitest";
import { RobsonError } from "../../core/errors.ts";
import { openStore } from "../../store/open-store.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import { aWorker, echoWorker } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startInterferedLoop } from "../../testing/interfered-loop.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import { createTestClock } from "../../testing/test-clock.ts";
import { killedAt, told } from "./why.fixture.ts";

const never = () => new Promise<never>(() => undefined);
const PATIENTLY = { timeout: 20_000 };

/** Until there is a dead letter: the server may take a moment to know that the owner before is dead. */
async function untilDead({ operator }: OpenedStore): Promise<void> {
  await expect.poll(async () => (await operator.deadLetters({ limit: 1 })).length, PATIENTLY).toBe(1);
}

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a process that is killed once, then again and again", async (t) => {
    const location = await create(t);
    const workers = [aWorker(never)];
    await killedAt("handle", { location, say: "poison" });
    const store = await openStore(location);
    const once = await told({ store, clock: createTestClock(), workers });
    await store.close();
    await killedAt("handle", { location });
    await killedAt("handle", { location });
    const limits = { maxInterruptions: 3 };
    const loop = await startTestLoop(t, { location, gateways: [fakeGateway()], workers, limits });
    await untilDead(loop.store);
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
        Attempt 1 was interrupted: the process ended during it; the next attempt began 2030-01-01 00:00:00 UTC (now)
        Attempt 2 was interrupted: the process ended during it; the next attempt began 2030-01-01 00:00:00 UTC (now)
        Attempt 3 failed 2030-01-01 00:00:00 UTC (now): The process ended 3 times while it was handled; there was no other
        Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: The process ended 3 times while it was handled Look in the…"
          delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
        Now: a dead letter; The process ended 3 times while it was handled; it is not begun again by itself, because it may be what ends the process
        Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
    `);
  }, 180_000);

  test("a process that is killed while it sends", async (t) => {
    const location = await create(t);
    const workers = [aWorker(never)];
    await killedAt("send", { location, say: "ask" });
    const store = await openStore(location);
    const open = await told({ store, clock: createTestClock(), workers });
    await store.close();
    const gateway = fakeGateway();
    const loop = await startTestLoop(t, { location, gateways: [gateway], workers });
    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(1); // once the server knows that its owner is dead
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
            Attempt 1 was interrupted: the process ended during it; it is not known whether it arrived; taken up again 2030-01-01 00:00:00 UTC (now)
        Now: done; worker "w" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: nothing; all is delivered"
    `);
  }, 180_000);

  test("a message that waits because it was interrupted before", async (t) => {
    const location = await create(t);
    const workers = [aWorker(never)];
    await killedAt("handle", { location, say: "poison" });
    await killedAt("handle", { location });
    const clock = createTestClock();
    await clock.advance(60_000);
    const loop = await startTestLoop(t, { location, clock, gateways: [fakeGateway()], workers });
    await expect.poll(() => loop.loop.control?.openMessages().length, PATIENTLY).toBe(1);

    expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
      "message-1: "poison"
        Received 2030-01-01 00:00:00 UTC (1 min ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 was interrupted: the process ended during it; the next attempt began 2030-01-01 00:00:00 UTC (1 min ago)
        Now: attempt 2 is under way, or about to be taken up again after an interruption in the owner"
    `);
    const live = loop.loop.control?.openMessages()[0];
    expect(await told({ ...loop, workers, live })).toMatchInlineSnapshot(`
      "message-1: "poison"
        Received 2030-01-01 00:00:00 UTC (1 min ago) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Attempt 1 was interrupted: the process ended during it; the next attempt began 2030-01-01 00:00:00 UTC (1 min ago)
        Now: attempt 2 was interrupted when its process ended; it waits up to 1 s before the next one, because it was interrupted before; such messages are begun one at a time"
    `);
  }, 180_000);

  test("a delivery that ends the process each time", async (t) => {
    const location = await create(t);
    const workers = [aWorker(never)];
    await killedAt("send", { location, say: "ask" });
    await killedAt("send", { location });
    const limits = { maxInterruptions: 2 };
    const loop = await startTestLoop(t, { location, gateways: [fakeGateway()], workers, limits });
    await untilDead(loop.store);

    expect(await told({ ...loop, workers, limits })).toMatchInlineSnapshot(`
      "message-1: "ask"
        Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
        Matched by no command or pattern, so by the fallback, of worker "w" (recomputed from the workers that are registered now)
        Event 1, completed, emitted by worker "w" 2030-01-01 00:00:00 UTC (now): "answer"
          delivery-1-ID to "C1" through gateway "fake": a dead letter: the process ended during 2 attempts at it, and it may be why; nothing more happens until \`robson dead-letters retry delivery-1-ID\`
            Attempt 1 was interrupted: the process ended during it; it is not known whether it arrived; taken up again 2030-01-01 00:00:00 UTC (now)
            Attempt 2 was interrupted: the process ended during it; it is not known whether it arrived; taken up again 2030-01-01 00:00:00 UTC (now)
        Now: done; worker "w" ended it with completed 2030-01-01 00:00:00 UTC (now)
        Next: 1 delivery dead"
    `);
  }, 180_000);
});

test("an answer that the database refuses as such", async (t) => {
  const gateway = fakeGateway();
  const workers = [echoWorker];
  const loop = await startInterferedLoop(t, {
    gateways: [gateway],
    workers,
    interfere: (ownership) => ({
      async record(change) {
        if (change.events?.[0]?.content !== "odd") return ownership.record(change);
        const hint = "Report this with the row's ids; its neighbours are stored";
        throw new RobsonError("STORE_REFUSED_ROW", "Cannot write a row to the database: it is odd", { hint });
      },
    }),
  });
  await gateway.say("/echo odd");
  await loop.idle();

  expect(await told({ ...loop, workers })).toMatchInlineSnapshot(`
    "message-1: "/echo odd"
      Received 2030-01-01 00:00:00 UTC (now) through gateway "fake", channel "C1", from user "U1", without an idempotency key: a second copy counts as another message
      Matched by the command /echo, of worker "echo" (recomputed from the workers that are registered now)
      Attempt 1 by worker "echo" failed 2030-01-01 00:00:00 UTC (now): Cannot write a row to the database: it is odd; there was no other
      Event 1, failed, emitted by the loop itself 2030-01-01 00:00:00 UTC (now): "I could not do this: Cannot write a row to the database: it is odd Report this …"
        delivery-1-ID to "C1" through gateway "fake": delivered 2030-01-01 00:00:00 UTC (now) by attempt 1
      Now: a dead letter; attempt 1 failed for good: Cannot write a row to the database: it is odd
      Next: nothing by itself; \`robson dead-letters retry message-1\` tries it again, \`robson dead-letters discard message-1\` closes it"
  `);
});
