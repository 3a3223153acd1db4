/** The suite's part about text: whatever Unicode holds comes back as it was stored. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Ownership, Store } from "../../core/store.ts";
import { toStorable } from "../../core/text.ts";
import { aMessage } from "../builders.ts";
import { aChange, aDelivery, aDeliveryChange, anEvent, PENDING, type SetUp } from "./set-up.ts";

/** Texts of one batch. Long ones are rare and keep under what an index entry holds. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.constantFrom(
    "",
    "NULL",
    "null",
    "{}",
    '{"a","b"}',
    "\\",
    '"',
    "'",
    "\\x00",
    ",",
    "\0",
    "\ud800",
    "\udc00\ud800",
    "\ufeff",
    "\uffff",
  ),
  fc.integer({ min: 0, max: 0x10_ffff }).map((codePoint) => String.fromCodePoint(codePoint).repeat(3)),
);
const longText = fc.oneof(
  { weight: 9, arbitrary: anyText },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 5_000, maxLength: 20_000 }) },
);

const texts = fc.record({
  channelId: anyText.map(toStorable),
  threadTs: anyText.map(toStorable),
  userId: anyText.map(toStorable),
  idempotencyKey: fc.option(anyText.map(toStorable)),
  content: longText.map(toStorable),
  answer: longText.map(toStorable),
  target: anyText.map(toStorable),
  messageError: longText.map(toStorable),
  deliveryError: longText.map(toStorable),
});
type Texts = typeof texts extends fc.Arbitrary<infer T> ? T : never;

export function testText(setUp: SetUp): void {
  test("a page of open work ends early, behind the text that is enough, and the next one goes on there", async () => {
    const { own } = await setUp();
    const ownership = await own();
    const ids: number[] = [];
    for (const length of [10, 10, 10, 500, 10]) {
      const message = aMessage({ gateway: "a", content: "ä".repeat(length) });
      const { conversationId } = await ownership.accept(message, PENDING);
      const deliveries = [aDelivery({ target: "C1" }), aDelivery({ target: "C2" })];
      const content = "ä".repeat(length);
      await ownership.record({ shard: 0, events: [anEvent(conversationId, { content, deliveries })] });
      ids.push(conversationId);
    }
    const messages = async (maxBytes: number, after = 0) =>
      (await ownership.openMessages({ after, limit: 4, maxBytes })).map((message) => message.conversationId);
    const deliveries = async (maxBytes: number) =>
      (await ownership.openDeliveries({ after: 0, limit: 4, maxBytes })).map((each) => each.conversationId);

    expect(await messages(1)).toEqual(ids.slice(0, 1));
    expect(await messages(40)).toEqual(ids.slice(0, 2));
    expect(await messages(41)).toEqual(ids.slice(0, 3));
    expect(await messages(10_000)).toEqual(ids.slice(0, 4));
    expect(await messages(1, ids[2])).toEqual(ids.slice(3, 4));
    expect(await messages(1001, ids[2])).toEqual(ids.slice(3));
    const [first] = ids;
    expect(await deliveries(1)).toEqual([first, first]);
    expect(new Set(await deliveries(10_000))).toEqual(new Set(ids.slice(0, 4)));
  });

  test("text of every kind in every field is stored as it is, with all of its batch", async () => {
    const { store, own } = await setUp();
    const ownership = await own();

    await fc.assert(
      fc.asyncProperty(fc.array(texts, { minLength: 1, maxLength: 12 }), async (batch) => {
        await Promise.all(batch.map((entry) => expectStored(entry, { store, ownership })));
      }),
      { numRuns: 60 },
    );
  });

  test("text that was never made storable is refused or replaced, and its neighbour is stored as it is", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const raw = fc.oneof(
      anyText,
      fc.string({ unit: fc.constantFrom("\0", "\ud800", "\udfff", "a", "é"), maxLength: 8 }),
    );

    await fc.assert(
      fc.asyncProperty(raw, raw, async (content, threadTs) => {
        const [outcome, neighbour] = await Promise.allSettled([
          ownership.accept(aMessage({ gateway: "a", content, threadTs }), PENDING),
          ownership.accept(aMessage({ gateway: "a", content: "neighbour 👩‍👩‍👧" }), PENDING),
        ]);
        if (outcome.status === "rejected")
          expect(outcome.reason).toMatchObject({ code: "STORE_REFUSED_ROW" });
        if (neighbour.status === "rejected") throw neighbour.reason;
        const stored = await store.conversation(neighbour.value.conversationId);
        expect(stored?.content).toBe("neighbour 👩‍👩‍👧");
      }),
      { numRuns: 60 },
    );
  });
}

async function expectStored(texts: Texts, { store, ownership }: { store: Store; ownership: Ownership }) {
  const { answer, target, messageError, deliveryError, ...ofMessage } = texts;
  const message = aMessage({ gateway: "a", ...ofMessage });
  const { conversationId, isDuplicate } = await ownership.accept(message, PENDING);
  if (isDuplicate) return;
  const failed = aChange(conversationId, { status: "dead", lastError: messageError });
  const deliveries = [aDelivery({ target })];
  const [event] = await ownership.record({
    shard: 0,
    message: failed,
    events: [anEvent(conversationId, { content: answer, deliveries })],
  });
  const eventId = event?.eventId ?? 0;
  await ownership.record({
    shard: 0,
    delivery: aDeliveryChange(eventId, { target, lastError: deliveryError }),
  });

  expect(await store.conversation(conversationId)).toEqual({
    ...message,
    ...failed,
    stoppedBy: null,
    round: 0,
  });
  const [delivery] = await ownership.openDeliveries({ after: eventId - 1, limit: 1 });
  const { channelId, threadTs, userId } = ofMessage;
  expect(delivery).toMatchObject({
    target,
    content: answer,
    lastError: deliveryError,
    channelId,
    threadTs,
    userId,
  });
  expect(await store.events(conversationId)).toMatchObject([{ content: answer, deliveries: [{ target }] }]);
}
