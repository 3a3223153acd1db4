/** The suite's part about dead letters: listed, put back, closed for good. */
import { expect, test } from "vitest";
import type { DeadLetter } from "../../core/store.ts";
import { expectWake } from "./ownership.ts";
import { aChange, accepted, aDeliveryChange, arrived, openWork, type SetUp, storedEvent } from "./set-up.ts";

async function withDeadLetters(setUp: SetUp) {
  const opened = await setUp();
  const ownership = await opened.own();
  const message = await accepted(ownership, { createdAt: 1000 });
  const event = await storedEvent(ownership);
  const dead = { status: "dead", attempts: 5, lastError: "no luck" } as const;
  await ownership.record({ shard: 0, message: aChange(message.conversationId, dead) });
  await ownership.record({ shard: 0, delivery: aDeliveryChange(event.eventId, dead) });
  await ownership.record({ shard: 0, message: aChange(event.conversationId, { status: "done" }) });

  const rest = { gateway: "a", attempts: 5, lastError: "no luck" };
  const ofMessage: DeadLetter = { ...rest, conversationId: message.conversationId, createdAt: 1000 };
  const delivery = { eventId: event.eventId, gateway: "a", target: "C1" };
  const ofDelivery: DeadLetter = { ...rest, conversationId: event.conversationId, delivery, createdAt: 2000 };
  return { ...opened, ownership, ofMessage, ofDelivery };
}

export function testDeadLetters(setUp: SetUp): void {
  test("dead messages and deliveries are listed together, the oldest first, up to a limit, and are not open", async () => {
    const { store, ownership, ofMessage, ofDelivery } = await withDeadLetters(setUp);

    expect(await store.deadLetters({ limit: 10 })).toEqual([ofMessage, ofDelivery]);
    expect(await store.deadLetters({ limit: 1 })).toEqual([ofMessage]);
    expect(await openWork(ownership)).toEqual({ messages: [], deliveries: [] });
  });

  test("what is dead stays so when an older write comes late, but may turn out to have arrived", async () => {
    const { store, ownership, ofMessage, ofDelivery } = await withDeadLetters(setUp);
    const { conversationId } = ofMessage;
    const eventId = ofDelivery.delivery?.eventId ?? 0;

    for (const status of ["pending", "claimed"] as const) {
      await ownership.record({ shard: 0, message: aChange(conversationId, { status, attempts: 1 }) });
      const late = ownership.record({
        shard: 0,
        delivery: aDeliveryChange(eventId, { status, attempts: 1 }),
      });
      await expect(late).rejects.toMatchObject({ code: "DELIVERY_CLOSED" });
    }

    expect(await store.deadLetters({ limit: 10 })).toEqual([ofMessage, ofDelivery]);
    expect(await openWork(ownership)).toEqual({ messages: [], deliveries: [] });
    await ownership.record({ shard: 0, delivery: arrived(eventId) });
    expect(await store.deadLetters({ limit: 10 })).toEqual([ofMessage]);
  });
}

export function testDeadLetterEnds(setUp: SetUp): void {
  test("a retried dead message wakes the owner, which takes it over with all its attempts before it", async () => {
    const { ownership, openAnother, ofMessage, ofDelivery } = await withDeadLetters(setUp);
    const other = await openAnother();

    expect(await expectWake(ownership, () => other.retryDeadLetter(ofMessage))).toBe(true);

    const { conversationId } = ofMessage;
    const again = { conversationId, status: "pending", attempts: 0, nextAttemptAt: null };
    expect(await ownership.takeUnowned(10)).toMatchObject([again]);
    expect(await ownership.takeUnowned(10)).toEqual([]);
    expect(await other.deadLetters({ limit: 10 })).toEqual([ofDelivery]);
    expect(await other.retryDeadLetter(ofMessage)).toBe(false);
  });

  test("a retried dead delivery wakes the owner, is open with all its attempts before it, and can arrive", async () => {
    const { store, ownership, openAnother, ofMessage, ofDelivery } = await withDeadLetters(setUp);
    const other = await openAnother();
    const eventId = ofDelivery.delivery?.eventId ?? 0;

    expect(await expectWake(ownership, () => other.retryDeadLetter(ofDelivery))).toBe(true);

    const again = { eventId, status: "pending", attempts: 0, nextRetryAt: null };
    expect((await openWork(ownership)).deliveries).toMatchObject([again]);
    expect(await other.deadLetters({ limit: 10 })).toEqual([ofMessage]);
    expect(await other.retryDeadLetter(ofDelivery)).toBe(false);
    await ownership.record({ shard: 0, delivery: arrived(eventId) });
    expect(await store.events(ofDelivery.conversationId)).toMatchObject([{ deliveredAt: 3000 }]);
  });

  test("a discarded dead letter is closed for good, and its last error stays on record", async () => {
    const { store, ownership, ofMessage, ofDelivery } = await withDeadLetters(setUp);

    for (const letter of [ofMessage, ofDelivery]) {
      expect(await store.discardDeadLetter(letter)).toBe(true);
      expect(await store.discardDeadLetter(letter)).toBe(false);
      expect(await store.retryDeadLetter(letter)).toBe(false);
    }

    expect(await store.deadLetters({ limit: 10 })).toEqual([]);
    expect(await ownership.takeUnowned(10)).toEqual([]);
    expect(await openWork(ownership)).toEqual({ messages: [], deliveries: [] });
    const closed = { status: "done", lastError: "no luck" };
    expect(await store.conversation(ofMessage.conversationId)).toMatchObject({ ...closed, attempts: 0 });
    // Carried out late, or repeated.
    for (const status of ["claimed", "dead"] as const) {
      await ownership.record({ shard: 0, message: aChange(ofMessage.conversationId, { status }) });
      expect(await store.conversation(ofMessage.conversationId)).toMatchObject({ ...closed, attempts: 0 });
    }
    expect(await store.events(ofDelivery.conversationId)).toMatchObject([{ deliveries: [closed] }]);
  });

  test("what is not dead is neither retried nor discarded", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId } = await storedEvent(ownership);
    const rest = { gateway: "a", attempts: 0, lastError: "", createdAt: 0 };
    const delivery = { eventId, gateway: "a", target: "C1" };
    const work = await openWork(ownership);

    for (const letter of [
      { ...rest, conversationId },
      { ...rest, conversationId, delivery },
      { ...rest, conversationId, delivery: { ...delivery, gateway: "nowhere" } },
      { ...rest, conversationId: 4711 },
    ]) {
      expect(await store.retryDeadLetter(letter)).toBe(false);
      expect(await store.discardDeadLetter(letter)).toBe(false);
    }

    expect(await openWork(ownership)).toEqual(work);
  });
}
