/** The suite's part about ownership: one at a time, fenced by its epoch, woken by the writes of others. */
import { expect, test } from "vitest";
import type { Ownership } from "../../core/store.ts";
import { aMessage } from "../builders.ts";
import {
  aChange,
  accepted,
  anEvent,
  arrived,
  openWork,
  PENDING,
  type SetUp,
  type StoreKind,
  storedEvent,
} from "./set-up.ts";

/** By then the owner has heard of another process's write, or never will: nothing here looks by itself. */
const WAKE_MS = 5000;

/** For a database that one process owns at a time. */
export function testOwningAlone(setUp: SetUp): void {
  test("a second owner is refused and told who the first is, until that one has released", async () => {
    const { store, own, openAnother, location } = await setUp();
    const other = await openAnother();
    expect(await other.currentOwners()).toEqual([]);
    const first = await own();

    expect(await other.currentOwners()).toEqual(["first"]);
    const refused = {
      code: "ALREADY_RUNNING",
      message: expect.stringContaining("first"),
      hint: expect.any(String),
    };
    await expect(other.own({ owner: "second", gateways: ["a"], now: 2000 })).rejects.toMatchObject(refused);
    await expect(store.own({ owner: "second", gateways: ["a"], now: 2000 })).rejects.toMatchObject(refused);
    await accepted(first);

    await first.release();
    await first.release();
    expect(await other.currentOwners()).toEqual([]);
    const second = await other.own({ owner: "second", gateways: ["a"], now: 2000 });
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect(await store.currentOwners()).toEqual(["second"]);
    expect((await openWork(second)).messages).toHaveLength(1);
    expect(other.location).toBe(store.location);
    expect(location).toContain(store.location.split("/").at(-1));
  });

  test("of several processes that own at the same moment one does", async () => {
    const { openAnother } = await setUp();
    const stores = await Promise.all(Array.from({ length: 4 }, openAnother));

    const owning = stores.map((store, index) => store.own({ owner: `${index}`, gateways: ["a"], now: 1000 }));
    const outcomes = await Promise.allSettled(owning);

    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "ALREADY_RUNNING" });
    }
  });
}

export function testOwning(setUp: SetUp): void {
  test("an owner that has released writes nothing more, not even when its store owns again", async () => {
    const { store, own } = await setUp();
    const first = await own();
    const before = await storedEvent(first);
    await first.release();

    await expectFenced(first, before);
    const second = await own();
    await expectFenced(first, before);

    expect((await openWork(second)).messages).toMatchObject([{ status: "pending" }]);
    expect(await store.events(before.conversationId)).toHaveLength(1);
  });

  test("closing finishes the writes under way", async () => {
    const { store, own, openAnother } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership, { idempotencyKey: "known" });
    const event = anEvent(conversationId);
    await ownership.record({ shard: 0, events: [event] });

    const writes = Promise.all([
      ...Array.from({ length: 30 }, () => ownership.accept(aMessage({ gateway: "a" }), PENDING)),
      ...Array.from({ length: 30 }, () => store.insertUnowned(aMessage({ gateway: "a" }))),
      ownership.accept(aMessage({ gateway: "a", idempotencyKey: "known" }), PENDING),
      ownership.record({ shard: 0, events: [event] }),
    ]);
    await store.close();

    expect(await writes).toHaveLength(62);
    const reopened = await (await openAnother()).own({ owner: "second", gateways: ["a"], now: 2000 });
    expect((await openWork(reopened)).messages).toHaveLength(61);
  });
}

export function testFencing(setUp: SetUp, { takeOver }: StoreKind): void {
  test("an owner whose database was taken over can write nothing, while others still insert", async () => {
    const { location, store, own } = await setUp();
    const ownership = await own();
    const before = await storedEvent(ownership);
    await store.insertUnowned(aMessage({ gateway: "a" }));
    const work = await openWork(ownership);

    await takeOver(location);

    await expectFenced(ownership, before);
    expect(await openWork(ownership)).toEqual(work);
    expect(await store.events(before.conversationId)).toHaveLength(1);
    expect(await store.insertUnowned(aMessage({ gateway: "a" }))).toMatchObject({ isDuplicate: false });
  });

  test("a write that waits for its commit when the database is taken over is either whole or refused", async () => {
    const { location, store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);

    const writes = Array.from({ length: 50 }, (_, index) =>
      ownership.record({ shard: index, events: [anEvent(conversationId, { sequence: index })] }),
    );
    const [outcomes] = await Promise.all([Promise.allSettled(writes), takeOver(location)]);

    const stored = outcomes.filter(({ status }) => status === "fulfilled").length;
    expect(await store.events(conversationId)).toHaveLength(stored);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "LEASE_LOST" });
    }
  });
}

/** Tries every fenced write at once; each must be refused. */
async function expectFenced(
  ownership: Ownership,
  { conversationId, eventId }: { conversationId: number; eventId: number },
): Promise<void> {
  const writes = [
    ownership.accept(aMessage({ gateway: "a" }), PENDING),
    ownership.record({ shard: 0, message: aChange(conversationId, { status: "done" }) }),
    ownership.record({ shard: 0, message: aChange(conversationId, { status: "dead" }) }),
    ownership.record({ shard: 1, events: [anEvent(conversationId, { sequence: 99 })] }),
    ownership.record({ shard: 1, delivery: arrived(eventId) }),
    ownership.takeUnowned(10),
    ownership.expireUnregistered(Number.MAX_SAFE_INTEGER),
  ];
  const refused = { status: "rejected", reason: { code: "LEASE_LOST", hint: expect.any(String) } };
  expect(await Promise.allSettled(writes)).toMatchObject(writes.map(() => refused));
}

export function testUnowned(setUp: SetUp): void {
  test("what another process stores wakes the owner, which takes it over once", async () => {
    const { own, openAnother } = await setUp();
    const ownership = await own();
    await accepted(ownership);
    const other = await openAnother();

    const message = aMessage({ gateway: "a", idempotencyKey: "k" });
    const { conversationId, isDuplicate } = await expectWake(ownership, () => other.insertUnowned(message));

    expect(isDuplicate).toBe(false);
    const pending = {
      status: "pending",
      attempts: 0,
      interruptions: 0,
      nextAttemptAt: null,
      lastError: null,
      stoppedBy: null,
      round: 0,
    };
    expect(await ownership.takeUnowned(10)).toEqual([{ ...message, ...pending, conversationId }]);
    expect(await ownership.takeUnowned(10)).toEqual([]);
  });

  test("messages are taken over in the order of their ids, up to a limit, of our gateways and of none", async () => {
    const { store, own } = await setUp();
    const ownership = await own(["a"]);
    const ids: number[] = [];
    for (const gateway of ["a", null, "elsewhere", "a", "a", "a"]) {
      const { conversationId } = await store.insertUnowned(aMessage({ gateway }));
      if (gateway !== "elsewhere") ids.push(conversationId);
    }

    const taken = [...(await ownership.takeUnowned(2)), ...(await ownership.takeUnowned(10))];

    expect(taken.map(({ conversationId }) => conversationId)).toEqual(ids);
  });

  test("of takers at the same moment each message goes to one", async () => {
    const { store, own } = await setUp();
    const ownership = await own(["a"]);

    for (let round = 0; round < 10; round += 1) {
      await Promise.all(Array.from({ length: 20 }, () => store.insertUnowned(aMessage({ gateway: "a" }))));
      const takings = await Promise.all(Array.from({ length: 4 }, () => ownership.takeUnowned(100)));
      expect(takings.flat()).toHaveLength(20);
    }
  });

  test("processes that name a gateway for the first time at the same moment mean the same one", async () => {
    const { own, openAnother } = await setUp();
    const stores = await Promise.all(Array.from({ length: 4 }, openAnother));

    const message = { gateway: "fresh", idempotencyKey: "k" };
    const outcomes = await Promise.all(stores.map((store) => store.insertUnowned(aMessage(message))));

    expect(new Set(outcomes.map(({ conversationId }) => conversationId)).size).toBe(1);
    const ownership = await own(["fresh"]);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ gateway: "fresh" }]);
  });
}

export function testCopies(setUp: SetUp): void {
  test("a copy of a message that is open wakes its owner, which is handed the message once more", async () => {
    const { own, openAnother } = await setUp();
    const ownership = await own();
    const other = await openAnother();
    const { conversationId } = await accepted(ownership, { idempotencyKey: "k" });
    await ownership.record({ shard: 0, message: aChange(conversationId) });
    const copy = () => aMessage({ gateway: "a", idempotencyKey: "k" });

    const stored = await expectWake(ownership, () => other.insertUnowned(copy()));
    expect(stored).toEqual({ conversationId, isDuplicate: true });
    await other.insertUnowned(copy());

    const { hasUnowned } = await ownership.accept(aMessage({ gateway: "a" }), PENDING);
    expect(hasUnowned).toBe(true);
    expect(await ownership.openMessages({ after: 0, limit: 1 })).toMatchObject([{ isUnowned: true }]);
    expect(await ownership.takeUnowned(10)).toMatchObject([
      { conversationId, status: "claimed", attempts: 1 },
    ]);
    expect(await ownership.takeUnowned(10)).toEqual([]);
  });

  test("an owner that gets a copy is told whether the message is open, and nobody has yet to take it", async () => {
    const { own, openAnother } = await setUp();
    const ownership = await own();
    const other = await openAnother();
    const { conversationId } = await accepted(ownership, { idempotencyKey: "k" });
    const known = await ownership.accept(aMessage({ gateway: "a", idempotencyKey: "k" }), PENDING);
    expect(known).toEqual({ conversationId, isDuplicate: true, isWithOwner: true, hasUnowned: false });

    await other.insertUnowned(aMessage({ gateway: "a", idempotencyKey: "k" }));
    const toBeTaken = await ownership.accept(aMessage({ gateway: "a", idempotencyKey: "k" }), PENDING);

    expect(toBeTaken).toMatchObject({ conversationId, isDuplicate: true, isWithOwner: false });
  });

  test("a copy of a message that has ended, or waits, is nobody's to take", async () => {
    const { own, openAnother } = await setUp();
    const ownership = await own();
    const other = await openAnother();
    for (const status of ["done", "dead", "waiting"] as const) {
      const { conversationId } = await accepted(ownership, { idempotencyKey: status });
      await ownership.record({ shard: 0, message: aChange(conversationId, { status }) });

      const copy = () => aMessage({ gateway: "a", idempotencyKey: status });
      expect(await ownership.accept(copy(), PENDING)).toMatchObject({
        isDuplicate: true,
        isWithOwner: false,
      });
      expect(await other.insertUnowned(copy())).toEqual({ conversationId, isDuplicate: true });
    }

    expect(await ownership.takeUnowned(10)).toEqual([]);
  });
}

/** Calls `write`, and fails when the owner has not been woken within `WAKE_MS` of its end. */
export async function expectWake<T>(ownership: Ownership, write: () => Promise<T>): Promise<T> {
  const woken = Promise.withResolvers<void>();
  ownership.onWake(() => woken.resolve());
  const written = await write();
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`The owner was not woken within ${WAKE_MS} ms`)), WAKE_MS);
  });
  await Promise.race([woken.promise, tooLate]).finally(() => clearTimeout(timer));
  return written;
}
