import pg from "pg";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { EventFeed, EventFilter, FeedEvent } from "../core/event-feed.ts";
import type { Ownership } from "../core/store.ts";
import { aMessage } from "../testing/builders.ts";
import { type DatabaseKind, databaseKinds } from "../testing/databases.ts";
import { aChange, anEvent } from "../testing/store-suite/set-up.ts";
import { openStore } from "./open-store.ts";

async function open({ create }: DatabaseKind) {
  const location = await create({ onTestFinished });
  const store = await openStore(location);
  onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "test", gateways: ["a", "b"], now: 1000 });
  return { location, store, feed: store.feed, ownership };
}

async function accept(ownership: Ownership, more: Partial<Parameters<typeof aMessage>[0]> = {}) {
  const message = aMessage({ gateway: "a", ...more });
  return (await ownership.accept(message, { shard: 0, status: "claimed", attempts: 1 })).conversationId;
}

let sequence = 0;

/** Stores an event for nobody. */
function emit(ownership: Ownership, content: string, { conversationId = 1, shard = 0 } = {}) {
  sequence += 1;
  const event = {
    conversationId,
    sequence,
    kind: "progress",
    content,
    worker: null,
    createdAt: 2000,
  } as const;
  return ownership.record({ shard, events: [{ ...event, deliveries: [] }] });
}

/** Reads on until so many events have come; other tests' open transactions on the same server may hold them back. */
async function read(
  feed: EventFeed,
  from: { cursor: string; count: number; filter?: EventFilter; limit?: number },
) {
  const { count, filter = {}, limit = 100 } = from;
  const events: FeedEvent[] = [];
  let { cursor } = from;
  await vi.waitFor(async () => {
    for (let isAtEnd = false; !isAtEnd; ) {
      const page = await feed.eventsAfter(cursor, { filter, limit });
      events.push(...page.events);
      ({ cursor, isAtEnd } = page);
    }
    if (events.length < count) throw new Error(`${events.length} of ${count} events`);
  }, 20_000);
  return { events, cursor, texts: events.map(({ content }) => content) };
}

describe.each(databaseKinds)("the feed on $name", (kind) => {
  test("each event comes once and in its order, in pages and with its thread", async () => {
    const { feed, ownership } = await open(kind);
    const conversationId = await accept(ownership, { channelId: "C1", threadTs: "T1" });
    for (const text of ["one", "two", "three"]) await emit(ownership, text, { conversationId });

    const { events, cursor } = await read(feed, { cursor: feed.beginning, count: 3, limit: 2 });

    expect(events.map(({ content }) => content)).toEqual(["one", "two", "three"]);
    expect(events[0]).toMatchObject({
      conversationId,
      kind: "progress",
      createdAt: 2000,
      gateway: "a",
      channelId: "C1",
      threadTs: "T1",
    });
    expect((await feed.eventsAfter(cursor, { filter: {}, limit: 2 })).events).toEqual([]);
    const [first, second, third] = events.map((event) => event.cursor);
    expect([third, first, second].sort()).toEqual([first, second, third]);
    expect((await read(feed, { cursor: first ?? "", count: 2 })).texts).toEqual(["two", "three"]);
  });

  test("a reader goes on after the program was started again", async () => {
    const { feed, ownership, store, location } = await open(kind);
    await accept(ownership);
    await emit(ownership, "before");
    const { cursor } = await read(feed, { cursor: feed.beginning, count: 1 });
    await store.close();

    const next = await openStore(location);
    onTestFinished(() => next.close());
    await emit(await next.own({ owner: "test", gateways: ["a"], now: 1000 }), "after");

    expect((await read(next.feed, { cursor, count: 1 })).texts).toEqual(["after"]);
  });

  test("a filter lets through what it names, and the reader still gets past the rest", async () => {
    const { feed, ownership } = await open(kind);
    const one = await accept(ownership, { channelId: "C1", threadTs: "T1" });
    const two = await accept(ownership, { gateway: "b", channelId: "C1", threadTs: "" });
    await emit(ownership, "of one", { conversationId: one });
    await emit(ownership, "of two", { conversationId: two });
    const all = await read(feed, { cursor: feed.beginning, count: 2 });
    const filtered = async (filter: EventFilter) =>
      (await read(feed, { cursor: feed.beginning, count: 0, filter })).texts;

    expect(await filtered({ conversationId: two })).toEqual(["of two"]);
    expect(await filtered({ channelId: "C1" })).toEqual(["of one", "of two"]);
    expect(await filtered({ channelId: "C1", threadTs: "T1" })).toEqual(["of one"]);
    expect(await filtered({ threadTs: "" })).toEqual(["of two"]);
    expect(await filtered({ gateway: "a" })).toEqual(["of one"]);
    expect(await filtered({ gateway: "c" })).toEqual([]);
    const none = await read(feed, { cursor: feed.beginning, count: 0, filter: { gateway: "c" } });
    expect(none.cursor >= (all.events.at(-1)?.cursor ?? "?")).toBe(true);
  });

  test("now is behind what was there", async () => {
    const { feed, ownership } = await open(kind);
    await accept(ownership);
    await emit(ownership, "old");
    await read(feed, { cursor: feed.beginning, count: 1 });

    const cursor = await feed.now();
    await emit(ownership, "new");

    expect((await read(feed, { cursor, count: 1 })).texts).toEqual(["new"]);
  });

  test.each(["", "17", "x00000000001", "s0000000000g0", "p00000000001", "s99999999999", "q; drop table"])(
    "the cursor %j is refused",
    async (cursor) => {
      const { feed } = await open(kind);

      await expect(feed.eventsAfter(cursor, { filter: {}, limit: 1 })).rejects.toMatchObject({
        code: "MESSAGE_INVALID",
        hint: expect.stringContaining("Last-Event-ID"),
      });
    },
  );
});

describe("the feed on postgres, where connections commit side by side", () => {
  const kind = databaseKinds.find(({ name }) => name === "postgres") as DatabaseKind;

  async function openAnother(location: string) {
    const client = new pg.Client({ connectionString: location });
    await client.connect();
    onTestFinished(() => client.end());
    return client;
  }

  test("an event with a lower id that is committed later is not passed over", async () => {
    const { feed, ownership, location } = await open(kind);
    const conversationId = await accept(ownership);
    const other = await openAnother(location);
    await other.query("begin");
    await other.query(`insert into process_events (conversation_id, sequence, kind, content, created_at)
      values (${conversationId}, 1001, 'progress', 'begun first', 1)`);

    await emit(ownership, "committed first", { conversationId });
    const early = await feed.eventsAfter(feed.beginning, { filter: {}, limit: 10 });
    await other.query("commit");
    const { events } = await read(feed, { cursor: early.cursor, count: 2 });

    expect(early).toMatchObject({ events: [], isAtEnd: true, isHeldBack: true });
    expect(events.map(({ content }) => content)).toEqual(["begun first", "committed first"]);
    expect(events[0]?.eventId).toBeLessThan(events[1]?.eventId ?? 0);
  });

  test("of the two writer connections the one that is held up loses nothing to a reader", async () => {
    const { feed, ownership, location } = await open(kind);
    const held = await accept(ownership);
    const free = await accept(ownership);
    const other = await openAnother(location);
    await other.query("begin");
    await other.query(`select from inbox where conversation_id = ${held} for update`);
    const recordEnd = (conversationId: number, shard: number) =>
      ownership.record({
        shard,
        message: aChange(conversationId),
        events: [anEvent(conversationId, { content: String(conversationId), deliveries: [] })],
      });

    const heldUp = recordEnd(held, 0);
    const waitingForUs = async () => {
      await other.query("select pg_stat_clear_snapshot()");
      const blocked = "select from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid))";
      return (await other.query(blocked)).rowCount;
    };
    await expect.poll(waitingForUs).toBeGreaterThan(0);
    await recordEnd(free, 1);
    const early = await read(feed, { cursor: feed.beginning, count: 0 });
    await other.query("commit");
    await heldUp;
    const late = await read(feed, { cursor: early.cursor, count: 2 - early.events.length });

    expect([...early.texts, ...late.texts].sort()).toEqual([held, free].map(String).sort());
  });

  test("events of a dump that was restored on a younger server are shown, before all others", async () => {
    const { feed, ownership, location } = await open(kind);
    await accept(ownership);
    const other = await openAnother(location);
    await other.query(`insert into process_events (conversation_id, sequence, kind, content, created_at, transaction_id)
      values (1, 1001, 'progress', 'restored', 1, 4000000000)`);
    await emit(ownership, "since");

    expect((await read(feed, { cursor: feed.beginning, count: 2 })).texts).toEqual(["restored", "since"]);
  });
});
