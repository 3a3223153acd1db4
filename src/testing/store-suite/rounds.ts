/**
 * The suite's part about what is written twice, or late, while a person has it tried again after its end: it belongs to
 * an earlier round, and changes nothing of the one that is under way.
 */
import { describe, expect, test } from "vitest";
import type { RunStatus } from "../../core/run-store.ts";
import type { Change, MessageChange, Ownership, Store } from "../../core/store.ts";
import { begun, QUESTION, run } from "./begun-runs.ts";
import {
  aChange,
  accepted,
  aDeliveryChange,
  anEvent,
  arrived,
  openWork,
  type SetUp,
  storedEvent,
} from "./set-up.ts";

export function testRounds(setUp: SetUp): void {
  describe("of what is tried again after its end", () => {
    testRoundsOfMessages(setUp);
    testRoundsOfRuns(setUp);
    testRoundsOfDeliveries(setUp);
  });
}

const DEAD = { status: "dead", attempts: 5, lastError: "no luck" } as const;

async function retried(store: Store): Promise<void> {
  const [letter] = await store.deadLetters({ limit: 1 });
  expect(letter && (await store.retryDeadLetter(letter))).toBe(true);
}

function testRoundsOfMessages(setUp: SetUp): void {
  test("a message's end that is written once more leaves a retried one pending, and its owner gets it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    const end: Change = {
      shard: 0,
      message: aChange(conversationId, DEAD),
      events: [anEvent(conversationId, { sequence: -2000, kind: "failed" })],
    };
    await ownership.record(end);
    await retried(store);

    expect(await ownership.record(end)).toMatchObject([{ isNew: true }]);

    const again = { conversationId, status: "pending", attempts: 0, round: 1 };
    expect(await store.conversation(conversationId)).toMatchObject(again);
    expect(await ownership.takeUnowned(10)).toMatchObject([again]);
    expect((await openWork(ownership)).messages).toMatchObject([again]);
    expect(await store.events(conversationId)).toHaveLength(1);
  });

  test("whatever is written late of a message's earlier rounds changes nothing of the one under way", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    for (const round of [0, 1]) {
      await ownership.record({ shard: 0, message: aChange(conversationId, { ...DEAD, round }) });
      await retried(store);
    }
    const change = aChange(conversationId, { attempts: 2, round: 2 });
    await ownership.record({ shard: 0, message: change });

    const late: MessageChange["status"][] = ["pending", "claimed", "waiting", "dead", "done"];
    for (const status of late)
      for (const round of [0, 1])
        await ownership.record({ shard: 0, message: aChange(conversationId, { status, round }) });

    expect(await store.conversation(conversationId)).toMatchObject(change);
    await ownership.record({ shard: 0, message: { ...change, status: "done" } });
    expect(await store.conversation(conversationId)).toMatchObject({ status: "done" });
  });
}

/** A run's message and its status, of one round, in one change. */
function stands(
  id: number,
  of: { message: Partial<MessageChange>; status: RunStatus; round: number; at?: number },
): Change {
  const status = { value: of.status, reason: null, at: of.at ?? 4000 };
  return {
    shard: 0,
    message: aChange(id, of.message),
    run: { conversationId: id, round: of.round, status },
  };
}

async function beginsAgain(
  ownership: Ownership,
  { id, round, ofRun }: { id: number; round: number; ofRun: number },
): Promise<void> {
  const begin = { ...run, round: ofRun, createdAt: 5000 };
  await ownership.record({
    shard: 0,
    message: aChange(id, { round }),
    run: { conversationId: id, begin },
  });
}

function testRoundsOfRuns(setUp: SetUp): void {
  test.each([
    { end: "done", status: "failed" },
    { end: "done", status: "stopped" },
    { end: "dead", status: "dead" },
  ] as const)(
    "a run's end as $status that is written once more leaves it open again, before it has begun and after it",
    async ({ end, status }) => {
      const { store, own } = await setUp();
      const ownership = await own();
      const id = await begun(ownership);
      const written = stands(id, { message: { status: end }, status, round: 1 });
      await ownership.record(written);
      expect(await store.runs.reopen(id)).toBe(true);

      await ownership.record(written);
      const again = { conversationId: id, status: "pending", round: 1, run: { round: 1, isOpen: false } };
      expect(await store.conversation(id)).toMatchObject(again);
      expect(await ownership.takeUnowned(10)).toMatchObject([again]);
      expect(await store.runs.run(id)).toMatchObject({ status, endedAt: 4000 });

      await beginsAgain(ownership, { id, round: 1, ofRun: 2 });
      await ownership.record(written);
      expect(await store.conversation(id)).toMatchObject({ status: "claimed", run: { isOpen: true } });
      expect(await store.runs.run(id)).toMatchObject({ status: "open", endedAt: null, round: 2 });
    },
  );

  test("what comes late of a run's first time neither has its second one wait nor ends that", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    await ownership.record(stands(id, { message: { status: "done" }, status: "failed", round: 1 }));
    expect(await store.runs.reopen(id)).toBe(true);
    await beginsAgain(ownership, { id, round: 1, ofRun: 2 });

    const waiting = stands(id, {
      message: { status: "waiting", nextAttemptAt: 1 },
      status: "waiting",
      round: 1,
    });
    const late = [
      { ...waiting, run: { ...waiting.run, conversationId: id, decisions: [QUESTION] } },
      stands(id, { message: { status: "claimed" }, status: "open", round: 1, at: 9000 }),
      stands(id, { message: { status: "pending", attempts: 9 }, status: "open", round: 1 }),
    ];
    for (const change of late) await ownership.record(change);

    expect(await store.conversation(id)).toMatchObject({
      status: "claimed",
      attempts: 1,
      nextAttemptAt: null,
    });
    expect(await store.runs.run(id)).toMatchObject({ status: "open", updatedAt: 5000 });
  });

  test("a run's message has no round twice, however it ends and whoever has it go on", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId: id } = await accepted(ownership);
    await ownership.record({ shard: 0, message: aChange(id, DEAD) });
    await retried(store);
    // Its run begins in the message's second round, and ends with it.
    await beginsAgain(ownership, { id, round: 1, ofRun: 1 });
    await ownership.record(stands(id, { message: { status: "done", round: 1 }, status: "failed", round: 1 }));
    expect(await store.runs.reopen(id)).toBe(true);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ round: 2 }]);
    // Another run has its lane: it does not begin.
    await ownership.record({ shard: 0, message: aChange(id, { status: "done", round: 2 }) });
    expect(await store.runs.reopen(id)).toBe(true);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ round: 3 }]);
    await ownership.record({ shard: 0, message: aChange(id, { ...DEAD, round: 3 }) });
    await retried(store);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ round: 4 }]);
    await ownership.record({ shard: 0, message: aChange(id, { status: "done", round: 4 }) });
    expect(await store.runs.reopen(id)).toBe(true);

    expect(await ownership.takeUnowned(10)).toMatchObject([{ round: 5 }]);
  });
}

function testRoundsOfDeliveries(setUp: SetUp): void {
  test("a delivery's end that is written once more leaves a retried one open, and says that it is closed", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { eventId } = await storedEvent(ownership);
    await ownership.record({ shard: 0, delivery: aDeliveryChange(eventId, DEAD) });
    await retried(store);

    for (const more of [DEAD, { status: "claimed" }, { status: "pending", nextRetryAt: 1 }] as const) {
      const late = ownership.record({ shard: 0, delivery: aDeliveryChange(eventId, more) });
      await expect(late).rejects.toMatchObject({ code: "DELIVERY_CLOSED" });
    }

    const again = { eventId, status: "pending", attempts: 0, nextRetryAt: null, round: 1 };
    expect((await openWork(ownership)).deliveries).toMatchObject([again]);
    await ownership.record({ shard: 0, delivery: aDeliveryChange(eventId, { round: 1 }) });
    expect((await openWork(ownership)).deliveries).toMatchObject([{ status: "claimed", attempts: 1 }]);
  });

  test("that a delivery has arrived counts, of whichever round it is told", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId } = await storedEvent(ownership);
    await ownership.record({ shard: 0, delivery: aDeliveryChange(eventId, DEAD) });
    await retried(store);

    await ownership.record({ shard: 0, delivery: arrived(eventId) });

    expect((await openWork(ownership)).deliveries).toEqual([]);
    expect(await store.events(conversationId)).toMatchObject([{ deliveredAt: 3000 }]);
  });
}
