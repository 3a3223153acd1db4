/** The suite's part about messages: stored once, changed, read back in their order. */
import { expect, test } from "vitest";
import { aMessage } from "../builders.ts";
import { aChange, accepted, anEvent, openWork, PENDING, type SetUp } from "./set-up.ts";

export function testAccepting(setUp: SetUp): void {
  test("an accepted message is open and reads back as it was given", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const message = aMessage({ gateway: "a", threadTs: "T1", idempotencyKey: "k", isAddressed: false });

    const { conversationId, isDuplicate } = await ownership.accept(message, PENDING);

    const stored = {
      ...message,
      conversationId,
      status: "pending",
      attempts: 0,
      interruptions: 0,
      nextAttemptAt: null,
      lastError: null,
      stoppedBy: null,
      round: 0,
    };
    expect(isDuplicate).toBe(false);
    expect(await store.conversation(conversationId)).toEqual(stored);
    expect(await openWork(ownership)).toEqual({ messages: [stored], deliveries: [] });
  });

  test("a message whose attempt begins with its commit is claimed with one attempt", async () => {
    const { store, own } = await setUp();
    const ownership = await own();

    const at = { shard: 3, status: "claimed", attempts: 1 } as const;
    const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), at);

    expect(await store.conversation(conversationId)).toMatchObject({ status: "claimed", attempts: 1 });
  });

  test("a conversation that is not there is undefined, and has no events", async () => {
    const { store } = await setUp();

    expect(await store.conversation(4711)).toBeUndefined();
    expect(await store.events(4711)).toEqual([]);
  });

  test("a message of a gateway that the owner does not run is refused, and its neighbour is stored", async () => {
    const { own } = await setUp();
    const ownership = await own(["a"]);

    const [refused, stored] = await Promise.allSettled([
      ownership.accept(aMessage({ gateway: "elsewhere" }), PENDING),
      ownership.accept(aMessage({ gateway: "a" }), PENDING),
    ]);

    expect(refused).toMatchObject({ status: "rejected", reason: { code: "STORE_REFUSED_ROW" } });
    expect(stored.status).toBe("fulfilled");
    expect((await openWork(ownership)).messages).toHaveLength(1);
  });
}

export function testDuplicates(setUp: SetUp): void {
  test("a second message with a gateway's idempotency key is a duplicate of the first, also when it ended", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership, { idempotencyKey: "k", content: "one" });

    const again = () =>
      ownership.accept(aMessage({ gateway: "a", idempotencyKey: "k", content: "two", threadTs: "T9" }), {
        ...PENDING,
        shard: 1,
      });

    expect(await again()).toMatchObject({ conversationId, isDuplicate: true });
    await ownership.record({ shard: 0, message: aChange(conversationId, { status: "done" }) });
    expect(await again()).toMatchObject({ conversationId, isDuplicate: true });
    expect(await store.conversation(conversationId)).toMatchObject({ content: "one", status: "done" });
    expect((await openWork(ownership)).messages).toEqual([]);
  });

  test("of copies that arrive at the same moment the first is stored, and all have its id", async () => {
    const { own } = await setUp();
    const ownership = await own();

    const copies = Array.from({ length: 5 }, (_, copy) =>
      aMessage({ gateway: "a", idempotencyKey: "k", content: `${copy}` }),
    );
    const outcomes = await Promise.all(copies.map((copy) => ownership.accept(copy, PENDING)));

    expect(outcomes.map(({ isDuplicate }) => isDuplicate)).toEqual([false, true, true, true, true]);
    expect(new Set(outcomes.map(({ conversationId }) => conversationId)).size).toBe(1);
    expect((await openWork(ownership)).messages).toMatchObject([{ content: "0" }]);
  });

  test("messages without an idempotency key are never duplicates, nor those of different gateways", async () => {
    const { own } = await setUp();
    const ownership = await own();

    const outcomes = await Promise.all([
      ownership.accept(aMessage({ gateway: "a" }), PENDING),
      ownership.accept(aMessage({ gateway: "a" }), PENDING),
      ownership.accept(aMessage({ gateway: "a", idempotencyKey: "k" }), PENDING),
      ownership.accept(aMessage({ gateway: "b", idempotencyKey: "k" }), PENDING),
      ownership.accept(aMessage({ gateway: null, idempotencyKey: "k" }), PENDING),
      ownership.accept(aMessage({ gateway: null }), PENDING),
    ]);

    expect(outcomes.map(({ isDuplicate }) => isDuplicate)).toEqual(Array(6).fill(false));
    expect((await openWork(ownership)).messages).toHaveLength(6);
  });

  test("a copy of a message of no gateway is recognised too, whoever stores it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const copy = () => aMessage({ gateway: null, idempotencyKey: "k" });

    const { conversationId } = await store.insertUnowned(copy());

    expect(await store.insertUnowned(copy())).toEqual({ conversationId, isDuplicate: true });
    expect(await ownership.accept(copy(), PENDING)).toMatchObject({ conversationId, isDuplicate: true });
  });
}

export function testChanging(setUp: SetUp): void {
  test("a change of a message sets all its columns, and clears them again", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { message, conversationId } = await accepted(ownership);
    const failed = aChange(conversationId, {
      status: "pending",
      attempts: 2,
      nextAttemptAt: 5000,
      lastError: "no luck",
    });

    await ownership.record({ shard: 0, message: failed });
    expect(await store.conversation(conversationId)).toEqual({
      ...message,
      ...failed,
      stoppedBy: null,
      round: 0,
    });

    await ownership.record({ shard: 0, message: aChange(conversationId, { attempts: 3 }) });
    expect(await store.conversation(conversationId)).toEqual({
      ...message,
      ...aChange(conversationId, { attempts: 3 }),
      stoppedBy: null,
      round: 0,
    });
  });

  test("a message that is done has no attempts and is not open, and a late change does not bring it back", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);

    await ownership.record({ shard: 0, message: aChange(conversationId, { status: "done", attempts: 4 }) });
    await ownership.record({ shard: 0, message: aChange(conversationId, { attempts: 4 }) });

    expect(await store.conversation(conversationId)).toMatchObject({
      status: "done",
      attempts: 0,
      interruptions: 0,
      lastError: null,
    });
    expect((await openWork(ownership)).messages).toEqual([]);
  });

  test("changes of one message that wait for one commit are written in their order", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const entries = await Promise.all(Array.from({ length: 20 }, () => accepted(ownership)));

    await Promise.all(
      entries.flatMap(({ conversationId }) => [
        ...[1, 2, 3].map((attempts) =>
          ownership.record({
            shard: 0,
            message: aChange(conversationId, { attempts, lastError: `${attempts}` }),
          }),
        ),
        ownership.record({
          shard: 0,
          message: aChange(
            conversationId,
            conversationId % 2 ? { status: "done" } : { attempts: 4, lastError: "4" },
          ),
          events: [anEvent(conversationId)],
        }),
      ]),
    );

    for (const { conversationId } of entries) {
      const end = conversationId % 2 ? { status: "done", attempts: 0 } : { attempts: 4, lastError: "4" };
      expect(await store.conversation(conversationId)).toMatchObject(end);
    }
  });
}

export function testOpenMessages(setUp: SetUp): void {
  test("open messages come in pages, in the order of their ids, whoever stored them", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const stored = [];
    for (let index = 0; index < 7; index += 1) {
      const message = aMessage({ gateway: index % 3 === 0 ? null : "a" });
      const { conversationId } = await (index % 2
        ? store.insertUnowned(message)
        : ownership.accept(message, PENDING));
      stored.push(conversationId);
    }

    const pages: number[][] = [];
    do {
      const page = await ownership.openMessages({ after: pages.at(-1)?.at(-1) ?? 0, limit: 3 });
      pages.push(page.map(({ conversationId }) => conversationId));
    } while (pages.at(-1)?.length);

    expect(stored).toEqual(stored.toSorted((a, b) => a - b));
    expect(pages).toEqual([stored.slice(0, 3), stored.slice(3, 6), stored.slice(6), []]);
  });

  test("messages that are done or dead, or of a gateway that does not run here, are not open", async () => {
    const { store, own } = await setUp();
    await store.insertUnowned(aMessage({ gateway: "elsewhere" }));
    const ownership = await own(["a"]);
    const [done, dead, waiting, claimed] = await Promise.all([0, 1, 2, 3].map(() => accepted(ownership)));
    if (!done || !dead || !waiting || !claimed) throw new Error("four were stored");

    await ownership.record({ shard: 0, message: aChange(done.conversationId, { status: "done" }) });
    await ownership.record({
      shard: 0,
      message: aChange(dead.conversationId, { status: "dead", lastError: "x" }),
    });
    const later = aChange(waiting.conversationId, { status: "pending", nextAttemptAt: 9_999_999_999_999 });
    await ownership.record({ shard: 0, message: later });
    await ownership.record({ shard: 0, message: aChange(claimed.conversationId) });

    expect((await openWork(ownership)).messages).toMatchObject([
      { conversationId: waiting.conversationId, status: "pending", nextAttemptAt: 9_999_999_999_999 },
      { conversationId: claimed.conversationId, status: "claimed" },
    ]);
  });
}
