/**
 * The owner's writes beside others that lock the same rows in another order: the server ends one of the two
 * transactions, and nobody sees more of that than the time it took.
 */
import { expect, test } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { aChange, aDelivery, anEvent, PENDING } from "../../testing/store-suite/set-up.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { crossed, isWaitedFor, openWithDeadlocks } from "./deadlock.fixture.ts";
import { connectTo } from "./owned.fixture.ts";

const RUN = { worker: "w", version: 1, isDetached: true, lane: null, title: "A run", createdAt: 1, round: 1 };
const CLAIMED = { shard: 0, status: "claimed", attempts: 1 } as const;

async function openWithMessages(t: TestEnd, { count }: { count: number }) {
  const opened = await openWithDeadlocks(t);
  const ids: number[] = [];
  for (let index = 0; index < count; index += 1)
    ids.push((await opened.ownership.accept(aMessage({ gateway: "a" }), CLAIMED)).conversationId);
  return { ...opened, ids };
}

const lockMessage = (id = 0) => `select 1 from inbox where conversation_id = ${id} for update`;
const lockDelivery = (id = 0) => `select 1 from process_event_deliveries where event_id = ${id} for update`;

test.concurrent("a batch of delivery attempts that the server ends for another's sake is written again", async (t) => {
  const { ownership, other, ids } = await openWithMessages(t, { count: 1 });
  const [conversationId = 0] = ids;
  const events = [1, 2].map((sequence) =>
    anEvent(conversationId, { sequence, deliveries: [aDelivery({ status: "claimed", attempts: 1 })] }),
  );
  const [first, second] = await ownership.record({ shard: 0, events });
  const arrived = { gateway: "a", target: "C1", status: "done", attempts: 1, interruptions: 0 } as const;
  const record = (eventId = 0) =>
    ownership.record({
      shard: 0,
      delivery: { ...arrived, eventId, nextRetryAt: null, lastError: null, deliveredAt: 3 },
    });

  const crossing = { holds: lockDelivery(second?.eventId), wants: lockDelivery(first?.eventId) };
  const written = await crossed(other, crossing, () =>
    Promise.all([record(first?.eventId), record(second?.eventId)]),
  );

  expect(written).toEqual([[], []]);
  expect((await other.query("select status, delivered_at from process_event_deliveries")).rows).toEqual(
    [1, 2].map(() => ({ status: "done", delivered_at: "3" })),
  );
});

test.concurrent("a batch of messages that the server ends for another's sake is written again", async (t) => {
  const { ownership, other, ids } = await openWithMessages(t, { count: 2 });
  const retry = (conversationId: number) =>
    ownership.record({
      shard: 0,
      message: aChange(conversationId, { status: "pending", attempts: 1, lastError: "x" }),
      events: [anEvent(conversationId, { kind: "progress" })],
    });

  const crossing = { holds: lockMessage(ids[1]), wants: lockMessage(ids[0]) };
  const written = await crossed(other, crossing, () => Promise.all(ids.map(retry)));

  expect(written).toMatchObject([[{ isNew: true }], [{ isNew: true }]]);
  expect((await other.query("select status, last_error from inbox")).rows).toEqual(
    ids.map(() => ({ status: "pending", last_error: "x" })),
  );
  expect((await other.query("select from process_events")).rows).toHaveLength(2);
});

test.concurrent("messages that two processes hear in different orders are each stored once", async (t) => {
  const { ownership, other } = await openWithDeadlocks(t);
  const accept = (idempotencyKey: string) =>
    ownership.accept(aMessage({ gateway: "a", idempotencyKey }), PENDING);
  const insert = (key: string) => `with made as (
    insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content,
      is_addressed, idempotency_key, created_at, shard)
    select gen_random_uuid()::text, id, 'C1', '', 'U1', 'user', 'hello', 1, '${key}', 0, 0 from gateways
    on conflict do nothing returning id)
    insert into inbox (conversation_id, status, attempts, is_unowned) select id, 'pending', 0, 1 from made`;

  const crossing = { holds: insert("second"), wants: insert("first") };
  const accepted = await crossed(other, crossing, () => Promise.all(["first", "second", "own"].map(accept)));

  expect(accepted).toMatchObject([{ isDuplicate: true }, { isDuplicate: true }, { isDuplicate: false }]);
  expect((await other.query("select from conversations")).rows).toHaveLength(3);
  expect((await other.query("select from inbox")).rows).toHaveLength(3);
});

test.concurrent("an answer in a thread whose transaction the server ends for another's sake is given once", async (t) => {
  const { store, ownership, other, ids } = await openWithMessages(t, { count: 2 });
  const [run = 0, said = 0] = ids;
  const question = { name: "sure", kind: "question", text: "Sure?", key: null } as const;
  await ownership.record({
    shard: 0,
    message: aChange(run, { status: "waiting", attempts: 0 }),
    run: {
      conversationId: run,
      begin: RUN,
      decisions: [{ ...question, choices: [], askedAt: 1, dueAt: null }],
    },
  });
  const answers = { name: "sure", value: "yes", by: "Ann", at: 2 };
  const passedOn = { conversationId: said, userId: "U1", content: "yes", createdAt: 2, answers };

  const crossing = { holds: lockMessage(run), wants: lockMessage(said) };
  const written = await crossed(other, crossing, () =>
    ownership.record({
      shard: 0,
      message: aChange(said, { status: "done" }),
      events: [anEvent(said)],
      run: { conversationId: run, passedOn },
    }),
  );

  expect(written).toMatchObject([{ isNew: true }]);
  const details = await store.runs.run(run);
  expect(details?.notes).toHaveLength(1);
  expect(details?.decisions).toMatchObject([{ answer: '"yes"', answeredBy: "Ann" }]);
  expect((await other.query("select conversation_id, status from inbox")).rows).toEqual([
    { conversation_id: String(run), status: "pending" },
  ]);
});

test.concurrent("a subscriber can be removed while attempts at his deliveries are written, whatever is written first", async (t) => {
  const { url, store, ownership, other: gate, ids } = await openWithMessages(t, { count: 1 });
  const [conversationId = 0] = ids;
  const wanted = { callbackUrl: "https://example.org/hook", description: null };
  const added = await store.subscribers.add(wanted, { maxSubscribers: 9 });
  const events = [1, 2, 3].map((sequence) =>
    anEvent(conversationId, { sequence, subscribersOf: "a", deliveries: [] }),
  );
  const stored = await ownership.record({ shard: 0, events });
  const [first = 0, middle = 0, last = 0] = stored.map(({ eventId }) => eventId);
  const failed = { gateway: "a", target: wanted.callbackUrl, status: "pending", attempts: 1 } as const;
  const record = (eventId: number) =>
    ownership.record({
      shard: 0,
      delivery: {
        ...{ ...failed, eventId, interruptions: 0, nextRetryAt: 9, lastError: "x", deliveredAt: null },
      },
    });

  await gate.query("begin");
  await gate.query(lockDelivery(middle));
  const attempts = Promise.allSettled([last, middle, first].map(record));
  await isWaitedFor(gate);
  const removed = store.subscribers.remove(added?.subscriber.id ?? 0);
  const watch = await connectTo(t, url);
  await isHeldUp(watch, 2);
  await gate.query("commit");

  expect(await removed).toBe(true);
  for (const attempt of await attempts)
    if (attempt.status === "rejected") expect(attempt.reason).toMatchObject({ code: "DELIVERY_CLOSED" });
  expect((await gate.query("select status from process_event_deliveries")).rows).toEqual(
    events.map(() => ({ status: "done" })),
  );
});

test.concurrent("a run whose lane comes free while it begins, begins", async (t) => {
  const { store, ownership, other, ids } = await openWithMessages(t, { count: 2 });
  const [former = 0, next = 0] = ids;
  const begin = { ...RUN, lane: "a lane" };
  await ownership.record({ shard: 0, run: { conversationId: former, begin } });
  // Holds whoever begins a run up behind the statement that finds its lane taken.
  await other.query(`create function hold_up() returns trigger language plpgsql as $$ begin
      perform pg_advisory_xact_lock(1); return null; end $$;
    create trigger held_up after insert on runs for each statement execute function hold_up()`);
  await other.query("select pg_advisory_lock(1)");

  const begun = ownership.record({ shard: 0, run: { conversationId: next, begin } });
  begun.catch(() => undefined);
  await isWaitedFor(other);
  await other.query("update runs set status = 'done', ended_at = 2");
  await other.query("select pg_advisory_unlock(1)");

  await begun;
  expect(await store.runs.runs({ isOpen: true })).toMatchObject([{ conversationId: next }]);
});

async function isHeldUp(client: Awaited<ReturnType<typeof connectTo>>, count: number): Promise<void> {
  const waiting = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await expect
    .poll(async () => (await client.query(waiting)).rows.length, { timeout: 20_000 })
    .toBeGreaterThanOrEqual(count);
}
