/** The suite's part about events and their deliveries: stored once, closed when the last target is reached. */
import { expect, test } from "vitest";
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

const TWO_TARGETS = [
  { gateway: "a", target: "C1" },
  { gateway: "b", target: "C2" },
];

export function testEvents(setUp: SetUp): void {
  test("a message's end, its events and their deliveries are stored together", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { message, conversationId } = await accepted(ownership, { threadTs: "T1" });
    const [first, second] = TWO_TARGETS.map((target) =>
      aDelivery({ ...target, status: "claimed", attempts: 1 }),
    );
    if (!first || !second) throw new Error("two targets");

    const events = await ownership.record({
      shard: 0,
      message: aChange(conversationId, { status: "done" }),
      events: [
        anEvent(conversationId, { sequence: 1, kind: "progress", content: "half", deliveries: [first] }),
        anEvent(conversationId, { sequence: -7, kind: "failed", content: "no", deliveries: [second] }),
      ],
    });

    const [progress, failed] = events;
    const open = {
      status: "claimed",
      attempts: 1,
      interruptions: 0,
      nextRetryAt: null,
      lastError: null,
      deliveredAt: null,
    };
    const one = { ...first, ...open, eventId: progress?.eventId };
    const two = { ...second, ...open, eventId: failed?.eventId };
    const rest = { conversationId, createdAt: 2000 };
    expect(events.map(({ isNew }) => isNew)).toEqual([true, true]);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "done" });
    expect(await store.events(conversationId)).toEqual([
      { ...rest, id: progress?.eventId, kind: "progress", content: "half", deliveries: [one] },
      { ...rest, id: failed?.eventId, kind: "failed", content: "no", deliveries: [two] },
    ]);
    const { channelId, threadTs, userId } = message;
    const thread = { ...rest, round: 0, originGateway: "a", channelId, threadTs, userId };
    expect((await openWork(ownership)).deliveries).toEqual([
      { ...one, ...thread, kind: "progress", content: "half" },
      { ...two, ...thread, kind: "failed", content: "no" },
    ]);
  });

  test("an event that is stored again is not new, has the first one's id, and adds no delivery", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId } = await storedEvent(ownership);
    const change = {
      shard: 0,
      events: [
        anEvent(conversationId, { sequence: 2, content: "other", deliveries: [] }),
        anEvent(conversationId, {
          content: "again",
          deliveries: TWO_TARGETS.map((target) => aDelivery(target)),
        }),
      ],
    };

    const [other, again] = await ownership.record(change);
    const both = await Promise.all([ownership.record(change), ownership.record(change)]);

    expect(again).toEqual({ eventId, isNew: false });
    expect(other?.isNew).toBe(true);
    const repeated = [
      { eventId: other?.eventId, isNew: false },
      { eventId, isNew: false },
    ];
    expect(both).toEqual([repeated, repeated]);
    expect(await store.events(conversationId)).toMatchObject([
      { id: eventId, content: "done", deliveries: [{ gateway: "a", target: "C1" }] },
      { id: other?.eventId, content: "other", deliveries: [] },
    ]);
  });
}

export function testEventCopies(setUp: SetUp): void {
  test("of two copies of an event that wait for one commit the first is stored", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    const copies = TWO_TARGETS.map((target) =>
      anEvent(conversationId, { content: target.target, deliveries: [aDelivery(target)] }),
    );

    const [first, second] = await Promise.all(
      copies.map((event) => ownership.record({ shard: 0, events: [event] })),
    );

    expect(first?.[0]?.isNew).toBe(true);
    expect(second).toEqual([{ eventId: first?.[0]?.eventId, isNew: false }]);
    expect(await store.events(conversationId)).toMatchObject([
      { content: "C1", deliveries: [{ target: "C1" }] },
    ]);
  });

  test("an event for nobody is delivered by being there", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);

    await ownership.record({ shard: 0, events: [anEvent(conversationId, { deliveries: [] })] });

    expect(await store.events(conversationId)).toMatchObject([{ deliveredAt: 2000, deliveries: [] }]);
    expect((await openWork(ownership)).deliveries).toEqual([]);
  });
}

export function testDeliveries(setUp: SetUp): void {
  test("a change of a delivery sets all its columns, and its delivery id never changes", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId, deliveries } = await storedEvent(ownership);
    const failed = aDeliveryChange(eventId, {
      status: "pending",
      attempts: 2,
      nextRetryAt: 5000,
      lastError: "away",
    });

    await ownership.record({ shard: 0, delivery: failed });
    const { deliveryId } = deliveries[0] ?? aDelivery();
    expect(await store.events(conversationId)).toMatchObject([{ deliveries: [{ ...failed, deliveryId }] }]);

    await ownership.record({ shard: 0, delivery: arrived(eventId, { attempts: 3 }) });
    expect(await store.events(conversationId)).toMatchObject([
      { deliveredAt: 3000, deliveries: [{ ...arrived(eventId, { attempts: 3 }), deliveryId }] },
    ]);
    expect((await openWork(ownership)).deliveries).toEqual([]);
  });

  test("an event is delivered when the last of its targets is reached", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId } = await storedEvent(ownership, TWO_TARGETS);

    await ownership.record({
      shard: 0,
      delivery: arrived(eventId, { gateway: "a", target: "C1", deliveredAt: 3000 }),
    });
    expect((await store.events(conversationId))[0]?.deliveredAt).toBeUndefined();

    await ownership.record({
      shard: 0,
      delivery: arrived(eventId, { gateway: "b", target: "C2", deliveredAt: 4000 }),
    });
    expect((await store.events(conversationId))[0]?.deliveredAt).toBe(4000);
  });

  test("an event whose targets are all reached in one commit is delivered", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId } = await storedEvent(ownership, TWO_TARGETS);

    await Promise.all([
      ownership.record({ shard: 0, delivery: arrived(eventId, { deliveredAt: 3000 }) }),
      ownership.record({ shard: 0, delivery: arrived(eventId, { ...TWO_TARGETS[1], deliveredAt: 4000 }) }),
    ]);

    expect((await store.events(conversationId))[0]?.deliveredAt).toBe(4000);
  });
}

export function testDeliveryEnds(setUp: SetUp): void {
  test("an event with a dead delivery is not delivered, in whatever order its deliveries end", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const dead = { status: "dead", lastError: "gone" } as const;
    const [first, last, together] = await Promise.all(
      [0, 1, 2].map(() => storedEvent(ownership, TWO_TARGETS)),
    );
    if (!first || !last || !together) throw new Error("three were stored");

    await ownership.record({ shard: 0, delivery: aDeliveryChange(first.eventId, dead) });
    await ownership.record({ shard: 0, delivery: arrived(first.eventId, TWO_TARGETS[1]) });
    await ownership.record({ shard: 0, delivery: arrived(last.eventId, TWO_TARGETS[1]) });
    await ownership.record({ shard: 0, delivery: aDeliveryChange(last.eventId, dead) });
    await Promise.all([
      ownership.record({ shard: 0, delivery: arrived(together.eventId, TWO_TARGETS[1]) }),
      ownership.record({ shard: 0, delivery: aDeliveryChange(together.eventId, dead) }),
    ]);

    for (const { conversationId } of [first, last, together]) {
      expect((await store.events(conversationId))[0]?.deliveredAt).toBeUndefined();
    }
  });

  test("changes of one delivery that wait for one commit are written in their order", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, eventId } = await storedEvent(ownership);

    const changes = [1, 2, 3].map((attempts) => aDeliveryChange(eventId, { attempts }));
    await Promise.all(
      [...changes, arrived(eventId, { attempts: 4 })].map((delivery) =>
        ownership.record({ shard: 0, delivery }),
      ),
    );

    expect(await store.events(conversationId)).toMatchObject([
      { deliveredAt: 3000, deliveries: [{ status: "done", attempts: 4 }] },
    ]);
  });
}

export function testOpenDeliveries(setUp: SetUp): void {
  test("a page of open deliveries holds all targets of each of its events", async () => {
    const { own } = await setUp();
    const ownership = await own();
    const events = [];
    for (let index = 0; index < 5; index += 1) events.push(await storedEvent(ownership, TWO_TARGETS));
    const [first, second, third, fourth, fifth] = events.map(({ eventId }) => eventId);
    await ownership.record({ shard: 0, delivery: arrived(second ?? 0) });
    for (const target of TWO_TARGETS)
      await ownership.record({ shard: 0, delivery: arrived(third ?? 0, target) });

    const page = async (after: number, limit: number) =>
      (await ownership.openDeliveries({ after, limit })).map(({ eventId }) => eventId);

    expect(await page(0, 2)).toEqual([first, first, second]);
    expect(await page(second ?? 0, 2)).toEqual([fourth, fourth, fifth, fifth]);
    expect(await page(fifth ?? 0, 2)).toEqual([]);
  });

  test("deliveries of gateways that do not run here are not handed out, those of messages of no gateway are", async () => {
    const { store, own } = await setUp();
    const first = await own();
    const { eventId } = await storedEvent(first, TWO_TARGETS);
    const { conversationId } = await first.accept(aMessage({ gateway: null }), PENDING);
    await first.record({ shard: 0, events: [anEvent(conversationId)] });
    await first.release();

    const second = await store.own({ owner: "second", gateways: ["a"], now: 2000 });

    expect((await openWork(second)).deliveries).toMatchObject([
      { eventId, gateway: "a", target: "C1", originGateway: "a" },
      { conversationId, gateway: "a", originGateway: null },
    ]);
  });
}

export function testUnregistered(setUp: SetUp): void {
  test("what has waited too long for a gateway of no process is dead, and what waits on is counted", async () => {
    const { store, own } = await setUp();
    const first = await own(["a", "b", "c"]);
    const { conversationId } = await accepted(first);
    const waitFor = (sequence: number, more: { createdAt: number; gateway: string }) =>
      anEvent(conversationId, {
        sequence,
        createdAt: more.createdAt,
        deliveries: [aDelivery({ gateway: more.gateway })],
      });
    await first.record({
      shard: 0,
      events: [
        waitFor(1, { createdAt: 10, gateway: "a" }),
        waitFor(2, { createdAt: 10, gateway: "b" }),
        waitFor(3, { createdAt: 20, gateway: "b" }),
        waitFor(4, { createdAt: 30, gateway: "b" }),
        waitFor(5, { createdAt: 30, gateway: "c" }),
      ],
    });
    await first.release();

    const second = await store.own({ owner: "second", gateways: ["a"], now: 2000 });
    const waiting = await second.expireUnregistered(20);

    expect(waiting.toSorted((a, b) => a.gateway.localeCompare(b.gateway))).toEqual([
      { gateway: "b", messages: 0, deliveries: 2 },
      { gateway: "c", messages: 0, deliveries: 1 },
    ]);
    const statuses = (await store.events(conversationId)).map(({ deliveries }) => deliveries[0]?.status);
    expect(statuses).toEqual(["pending", "dead", "pending", "pending", "pending"]);
    expect(await store.deadLetters({ limit: 9 })).toMatchObject([
      { gateway: "b", lastError: expect.stringContaining("gateway") },
    ]);
  });

  test("an owner without any gateway counts the messages and deliveries of all, and makes the old ones dead", async () => {
    const { store, own } = await setUp();
    const first = await own();
    await storedEvent(first, TWO_TARGETS);
    await first.release();

    const second = await store.own({ owner: "second", gateways: [], now: 2000 });

    expect(await second.expireUnregistered(0)).toEqual([
      { gateway: "a", messages: 1, deliveries: 1 },
      { gateway: "b", messages: 0, deliveries: 1 },
    ]);
    expect(await second.expireUnregistered(Number.MAX_SAFE_INTEGER)).toEqual([]);
    expect(await store.deadLetters({ limit: 9 })).toHaveLength(3);
    expect(await openWork(second)).toEqual({ messages: [], deliveries: [] });
  });
}
