/** The suite's part about writes that wait at the same moment: all are stored, and a refused one stands alone. */
import { expect, test } from "vitest";
import { SHARD_COUNT } from "../../core/shards.ts";
import type { NewEvent, Ownership } from "../../core/store.ts";
import { aMessage } from "../builders.ts";
import {
  aChange,
  accepted,
  aDelivery,
  aDeliveryChange,
  anEvent,
  arrived,
  openWork,
  PENDING,
  type SetUp,
  storedEvent,
} from "./set-up.ts";

export function testConcurrency(setUp: SetUp): void {
  test("hundreds of writes of all kinds at the same moment are all stored", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const entries = await Promise.all(Array.from({ length: 200 }, () => storedEvent(ownership)));

    const writes = entries.flatMap(({ conversationId, eventId }, index) => [
      ownership.accept(aMessage({ gateway: index % 2 ? "a" : null, idempotencyKey: `${index}` }), {
        ...PENDING,
        shard: index % SHARD_COUNT,
      }),
      ownership.record({
        shard: index,
        message: aChange(conversationId, { status: index % 4 === 0 ? "dead" : "done", lastError: "x" }),
        events: [
          anEvent(conversationId, { sequence: 2 }),
          anEvent(conversationId, { sequence: 3, deliveries: [] }),
        ],
      }),
      ownership.record({ shard: index, delivery: arrived(eventId) }),
      store.insertUnowned(aMessage({ gateway: "a" })),
    ]);
    await Promise.all(writes);

    const work = await openWork(ownership);
    expect(work.messages).toHaveLength(400);
    expect(work.deliveries).toHaveLength(200);
    expect(await store.deadLetters({ limit: 1000 })).toHaveLength(50);
    expect(await ownership.takeUnowned(1000)).toHaveLength(200);
    for (const { conversationId } of entries.slice(0, 10)) {
      const events = await store.events(conversationId);
      expect(events.map(({ deliveredAt }) => deliveredAt)).toEqual([3000, undefined, 2000]);
    }
  });
}

/** Writes that some database refuses, and none may let harm its neighbours. */
const POISON: [
  name: string,
  write: (ownership: Ownership, at: { conversationId: number; eventId: number }) => Promise<unknown>,
][] = [
  [
    "no text",
    (ownership) => ownership.accept(aMessage({ gateway: "a", content: null as unknown as string }), PENDING),
  ],
  ["NUL in its text", (ownership) => ownership.accept(aMessage({ gateway: "a", content: "a\0b" }), PENDING)],
  ["NUL in its thread", (ownership) => ownership.accept(aMessage({ gateway: "a", threadTs: "\0" }), PENDING)],
  [
    "half a character",
    (ownership) => ownership.accept(aMessage({ gateway: "a", content: "\ud83d" }), PENDING),
  ],
  [
    "an idempotency key that no index holds",
    (ownership) => ownership.accept(aMessage({ gateway: "a", idempotencyKey: noise(20_000) }), PENDING),
  ],
  [
    "a target that no index holds",
    (ownership, { conversationId }) =>
      ownership.record(ofEvent(conversationId, { deliveries: [aDelivery({ target: noise(20_000) })] })),
  ],
  [
    "NUL in its event",
    (ownership, { conversationId }) => ownership.record(ofEvent(conversationId, { content: "\0" })),
  ],
  [
    "a target twice",
    (ownership, { conversationId }) =>
      ownership.record(ofEvent(conversationId, { deliveries: [aDelivery(), aDelivery()] })),
  ],
  [
    "attempts beyond 32 bits",
    (ownership, { conversationId }) =>
      ownership.record({ shard: 0, message: aChange(conversationId, { attempts: 2 ** 40 }) }),
  ],
  [
    "an instant that is no number",
    (ownership, { conversationId }) =>
      ownership.record({ shard: 0, message: aChange(conversationId, { nextAttemptAt: Number.NaN }) }),
  ],
  [
    "NUL in its error",
    (ownership, { eventId }) =>
      ownership.record({ shard: 0, delivery: aDeliveryChange(eventId, { lastError: "\0" }) }),
  ],
  [
    "a gateway that does not run here",
    (ownership, { conversationId }) =>
      ownership.record(ofEvent(conversationId, { deliveries: [aDelivery({ gateway: "x" })] })),
  ],
];

export function testRefusedRows(setUp: SetUp): void {
  test.each(POISON)(
    "a write with %s is refused or stored, and its neighbours are stored",
    async (_name, write) => {
      const { store, own } = await setUp();
      const ownership = await own();
      const poisoned = await storedEvent(ownership);
      const others = await Promise.all(Array.from({ length: 5 }, () => storedEvent(ownership)));
      const neighbour = ({ conversationId, eventId }: { conversationId: number; eventId: number }) => [
        ownership.accept(aMessage({ gateway: "a", content: "neighbour" }), PENDING),
        ownership.record({
          shard: 0,
          message: aChange(conversationId),
          events: [anEvent(conversationId, { sequence: 2 })],
        }),
        ownership.record({ shard: 0, delivery: arrived(eventId) }),
      ];

      const writes = others.flatMap((other) => [...neighbour(other), write(ownership, poisoned)]);
      const outcomes = await Promise.allSettled(writes);

      for (const [index, outcome] of outcomes.entries()) {
        const isPoison = index % 4 === 3;
        if (outcome.status === "fulfilled") continue;
        expect(isPoison ? outcome.reason : "a neighbour").toMatchObject({ code: "STORE_REFUSED_ROW" });
      }
      const { messages } = await openWork(ownership);
      expect(messages.filter(({ content }) => content === "neighbour")).toHaveLength(5);
      for (const { conversationId } of others) {
        expect(await store.conversation(conversationId)).toMatchObject({ status: "claimed" });
        expect(await store.events(conversationId)).toMatchObject([
          { deliveredAt: 3000 },
          { content: "done" },
        ]);
      }
    },
  );

  test("a refused write leaves nothing of itself behind, and what follows it goes on", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    const events = [
      anEvent(conversationId, { sequence: 1 }),
      anEvent(conversationId, { sequence: 2, content: null as unknown as string }),
    ];

    const refused = ownership.record({
      shard: 0,
      message: aChange(conversationId, { status: "done" }),
      events,
    });
    const later = ownership.record({ shard: 0, message: aChange(conversationId, { attempts: 2 }) });

    await expect(refused).rejects.toMatchObject({ code: "STORE_REFUSED_ROW", hint: expect.any(String) });
    await later;
    expect(await store.events(conversationId)).toEqual([]);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "claimed", attempts: 2 });
  });

  test("a gateway that is first named in a commit with a refused write is stored with its messages", async () => {
    const { store, own, openAnother } = await setUp();
    const named = (content: string | null) =>
      store.insertUnowned(aMessage({ gateway: "fresh", content: content as string }));

    const outcomes = await Promise.allSettled([named("one"), named("two"), named(null), named("three")]);
    await (await openAnother()).insertUnowned(aMessage({ gateway: "later" }));

    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    const ownership = await own(["fresh"]);
    expect(await ownership.takeUnowned(10)).toHaveLength(3);
    expect((await openWork(ownership)).messages.every(({ gateway }) => gateway === "fresh")).toBe(true);
  });
}

function ofEvent(conversationId: number, more: Partial<NewEvent>) {
  return { shard: 0, events: [anEvent(conversationId, { sequence: 9, ...more })] };
}

/** Text that does not compress; the same at each run. */
function noise(length: number): string {
  let state = 1;
  let text = "";
  while (text.length < length) {
    state = Math.imul(state, 1_103_515_245) + 12_345;
    text += String.fromCharCode(33 + ((state >>> 16) % 90));
  }
  return text;
}
