import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import type { Ownership, Status } from "./store.ts";

const HOUR_MS = 3_600_000;

interface Crashed {
  status: Status;
  attempts: number;
}

/** Leaves behind what a process that is gone had in hand. */
async function crashed(location: string, act: (ownership: Ownership) => Promise<void>): Promise<void> {
  const store = await openStore(location);
  const ownership = await store.own({ owner: "the crashed one", gateways: ["fake"], now: 0 });
  await act(ownership);
  await store.close();
}

const accept = (ownership: Ownership, content: string, { status, attempts }: Crashed) =>
  ownership.accept(aMessage({ content, threadTs: content }), {
    shard: 0,
    status: status as "claimed",
    attempts: Math.min(attempts, 1) as 1,
  });

describe.each(databaseKinds)("after a crash on $name", ({ create }) => {
  test("a message whose worker was interrupted is run again, and its answer arrives once", async (t) => {
    const location = await create(t);
    await crashed(location, async (ownership) => {
      await accept(ownership, "/echo again", { status: "claimed", attempts: 1 });
    });
    const gateway = fakeGateway();
    const { idle, loop } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    await idle();

    expect(gateway.texts()).toEqual(["completed: again"]);
    expect(loop.health()).toMatchObject({ openMessages: 0, openDeliveries: 0 });
  });

  test("what a worker emitted before is not emitted twice, and a shorter second run still ends", async (t) => {
    const location = await create(t);
    await crashed(location, async (ownership) => {
      const { conversationId } = await accept(ownership, "go", { status: "claimed", attempts: 1 });
      for (const [index, content] of ["on it", "half", "nearly"].entries()) {
        const event = {
          conversationId,
          sequence: index + 1,
          kind: "progress" as const,
          content,
          worker: "w",
          createdAt: 1,
        };
        const delivery = {
          gateway: "fake",
          target: "C1",
          deliveryId: `d${index}`,
          status: "pending" as const,
          attempts: 0,
        };
        await ownership.record({ shard: 0, events: [{ ...event, deliveries: [delivery] }] });
      }
    });
    const gateway = fakeGateway();
    const worker = aWorker(async (_message, _args, { emit }) => {
      await emit("progress", "on it");
      await emit("completed", "done");
    });
    const { idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });
    await idle();

    expect(gateway.texts()).toEqual([
      "progress: on it",
      "progress: half",
      "progress: nearly",
      "completed: done",
    ]);
  });

  test("a delivery whose attempt was interrupted is tried again under its id, as the next attempt", async (t) => {
    const location = await create(t);
    await crashed(location, async (ownership) => {
      const { conversationId } = await accept(ownership, "x", { status: "claimed", attempts: 1 });
      const delivery = {
        gateway: "fake",
        target: "C1",
        deliveryId: "the-id",
        status: "claimed" as const,
        attempts: 1,
      };
      const event = {
        conversationId,
        sequence: -1,
        kind: "completed" as const,
        content: "x",
        worker: null,
        createdAt: 1,
      };
      await ownership.record({
        shard: 0,
        message: {
          conversationId,
          status: "done",
          attempts: 1,
          interruptions: 0,
          nextAttemptAt: null,
          lastError: null,
        },
        events: [{ ...event, deliveries: [delivery] }],
      });
    });
    const gateway = fakeGateway();
    const { idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    await idle();

    expect(gateway.sent).toMatchObject([{ id: "the-id", attempt: 2, content: "x" }]);
  });

  test("a message that was interrupted as often as it may be is a dead letter, and its asker is told", async (t) => {
    const location = await create(t);
    await crashed(location, async (ownership) => {
      const { conversationId } = await accept(ownership, "/echo poison", { status: "claimed", attempts: 1 });
      const message = { conversationId, interruptions: 19, nextAttemptAt: null, lastError: null };
      await ownership.record({ shard: 0, message: { ...message, status: "claimed", attempts: 20 } });
      await accept(ownership, "/echo innocent", { status: "pending", attempts: 0 });
    });
    const gateway = fakeGateway();
    const { idle, store } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    await idle();

    expect(gateway.texts().sort()).toEqual([
      "completed: innocent",
      expect.stringMatching(/^failed: I could not do this: The process ended 20 times while it was handled/),
    ]);
    expect(await store.deadLetters({ limit: 9 })).toHaveLength(1);
  });

  test("messages that were interrupted twice are handled one at a time, the others beside them", async (t) => {
    const location = await create(t);
    await crashed(location, async (ownership) => {
      for (const content of ["s1", "s2", "s3"]) {
        const { conversationId } = await accept(ownership, content, { status: "claimed", attempts: 1 });
        const message = { conversationId, interruptions: 1, nextAttemptAt: null, lastError: null };
        await ownership.record({ shard: 0, message: { ...message, status: "claimed", attempts: 2 } });
      }
      await accept(ownership, "fresh", { status: "pending", attempts: 0 });
    });
    const gateway = fakeGateway();
    const release = Promise.withResolvers<void>();
    const begun: string[] = [];
    const worker = aWorker(async ({ content }, _args, { emit }) => {
      begun.push(content);
      if (content === "s1") await release.promise;
      await emit("completed", content);
    });
    const { idle, clock } = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });

    await expect.poll(() => gateway.texts()).toEqual(["completed: fresh"]);
    expect(begun).toEqual(["fresh"]); // they wait first
    await clock.advance(1000);
    await expect.poll(() => begun.length).toBe(2);
    expect(begun.toSorted()).toEqual(["fresh", "s1"]);
    release.resolve();
    await idle();
    expect(gateway.texts()).toEqual(["completed: fresh", "completed: s1", "completed: s2", "completed: s3"]);
  });

  test("messages that merely waited in memory are not counted as attempted, however often it crashes", async (t) => {
    const location = await create(t);
    await crashed(location, async (ownership) => {
      for (let index = 0; index < 20; index += 1) {
        await ownership.accept(aMessage({ content: `/echo ${index}` }), {
          shard: 0,
          status: "pending",
          attempts: 0,
        });
      }
    });
    const stuck = aWorker(async () => new Promise(() => undefined), { command: "/echo" });
    for (let restart = 0; restart < 7; restart += 1) {
      const running = await startTestLoop(t, { location, gateways: [fakeGateway()], workers: [stuck] });
      await expect.poll(() => running.loop.health().openMessages).toBe(20);
      await running.stop();
    }
    const gateway = fakeGateway();
    const { idle, store } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    await idle();

    expect(gateway.texts()).toHaveLength(20);
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);
  });
});

test("a backlog far larger than what memory may hold is worked off in order", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const threads = 7;
  await crashed(location, async (ownership) => {
    const messages = Array.from({ length: 1500 }, (_, index) =>
      aMessage({ content: `/echo ${index}`, threadTs: `T${index % threads}` }),
    );
    await Promise.all(
      messages.map((message) => ownership.accept(message, { shard: 0, status: "pending", attempts: 0 })),
    );
  });
  const gateway = fakeGateway();
  const running = await startTestLoop(t, {
    location,
    gateways: [gateway],
    workers: [echo],
    limits: { maxLoaded: 100, maxHeld: 100, maxConcurrentMessages: 5 },
  });
  let mostLoaded = 0;
  const late = Array.from({ length: 50 }, (_, index) =>
    gateway.say(`/echo ${1500 + index}`, { threadTs: `T${index % threads}` }),
  );
  await Promise.all(late);
  await expect
    .poll(
      () => {
        mostLoaded = Math.max(mostLoaded, running.loop.health().openMessages);
        return gateway.sent.length;
      },
      { timeout: 60_000 },
    )
    .toBe(1550);
  await running.idle();

  expect(mostLoaded).toBeLessThanOrEqual(650); // maxLoaded / 2 and one page more
  for (let thread = 0; thread < threads; thread += 1) {
    const numbers = gateway.sent
      .filter(({ threadTs }) => threadTs === `T${thread}`)
      .map(({ content }) => Number(content));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
});

test("a message that waits for its retry lets later messages of its thread go first", async (t) => {
  const gateway = fakeGateway();
  let failures = 1;
  const worker = aWorker(async ({ content }, _args, { emit }) => {
    if (content === "first" && failures-- > 0) throw new Error("not yet");
    await emit("completed", content);
  });
  const { idle, clock } = await startTestLoop(t, { gateways: [gateway], workers: [worker] });

  await gateway.say("first");
  await gateway.say("second");
  await idle();
  expect(gateway.texts()).toEqual(["completed: second"]);

  await clock.advance(HOUR_MS);
  await idle();
  expect(gateway.texts()).toEqual(["completed: second", "completed: first"]);
});
