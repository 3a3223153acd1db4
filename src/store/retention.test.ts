import { sql as raw } from "kysely";
import { Client } from "pg";
import { describe, expect, test } from "vitest";
import type { Batch, RetentionPart } from "../core/retention.ts";
import type { MessageStatus, Ownership, Status } from "../core/store.ts";
import { aMessage } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { createDatabase } from "../testing/postgres/database.ts";
import { aChange, aDelivery, anEvent } from "../testing/store-suite/set-up.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { openStore } from "./open-store.ts";
import type { OpenedStore } from "./opened-store.ts";

const NOW = 1_000_000;
/** What is older than this goes. */
const BEFORE = 500_000;
const DEAD_BEFORE = 100_000;
const OLD = 400_000;
const ANCIENT = 50_000;
const TABLES = [
  "conversations",
  "inbox",
  "process_events",
  "process_event_deliveries",
  "failed_attempts",
] as const;

interface Given {
  createdAt: number;
  message: MessageStatus;
  /** Of its one delivery; default: done. */
  delivery?: Status;
  /** When its event was emitted; default: when it was accepted. */
  emittedAt?: number;
}

async function setUp(t: TestEnd, location: string) {
  const store = await openStore(location);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "a test", gateways: ["a"], now: 0 });
  const epoch = await store.retention.claim({ now: NOW, since: 0 });
  /** Removes all of one kind, batch after batch. */
  const remove = async (part: RetentionPart, more: Partial<Batch> = {}) => {
    let removed = 0;
    for (let after: number | undefined = 0; after !== undefined; ) {
      const batch = { part, epoch: epoch ?? 0, now: NOW, before: BEFORE, deadBefore: DEAD_BEFORE };
      const result = await store.retention.removeBatch({ ...batch, keep: 1e9, limit: 3, ...more, after });
      removed += result.removed;
      after = result.next;
    }
    return removed;
  };
  return { store, ownership, remove };
}

/** Messages as they are given, and one that is new, so that none of them is the newest. */
async function store(ownership: Ownership, given: Given[]): Promise<number[]> {
  const ids: number[] = [];
  for (const each of [...given, { createdAt: NOW, message: "done" } as const])
    ids.push(await storeOne(ownership, each));
  return ids.slice(0, -1);
}

async function storeOne(ownership: Ownership, given: Given): Promise<number> {
  const { createdAt, message: status, delivery = "done", emittedAt = createdAt } = given;
  const message = aMessage({ gateway: "a", createdAt, idempotencyKey: null });
  const at = { shard: 0, status: "claimed", attempts: 1 } as const;
  const { conversationId } = await ownership.accept(message, at);
  const failure = {
    ...{ conversationId, eventId: null, gateway: null, target: null, worker: "w", attempt: 1 },
    ...{ error: "x", failedAt: emittedAt, nextAt: null },
  };
  const ended = { conversationId, status, attempts: 1, interruptions: 0, nextAttemptAt: null };
  const event = anEvent(conversationId, {
    createdAt: emittedAt,
    deliveries: [aDelivery({ status: delivery === "done" ? "claimed" : "pending" })],
  });
  const [stored] = await ownership.record({
    ...{ shard: 0, failure, events: [event] },
    message: { ...ended, lastError: null },
  });
  const key = { eventId: stored?.eventId ?? 0, gateway: "a", target: "C1" };
  const change = { ...key, status: delivery, attempts: 1, interruptions: 0, nextRetryAt: null };
  const deliveredAt = delivery === "done" ? emittedAt : null;
  await ownership.record({ shard: 0, delivery: { ...change, lastError: null, deliveredAt } });
  return conversationId;
}

/** A row of everything that belongs to a run. */
async function storeRun(ownership: Ownership, conversationId: number): Promise<void> {
  const createdAt = ANCIENT;
  const begin = { worker: "w", version: 1, isDetached: true, lane: null, title: "t", createdAt, round: 1 };
  const step = { name: "s", ordinal: 0, begunAt: ANCIENT, attempts: 1 };
  const effect = { step: "s", key: "k", outcome: "made", at: ANCIENT } as const;
  const decision = { name: "d", kind: "question", text: "?", choices: [], key: null, dueAt: null } as const;
  const decisions = [{ ...decision, choices: [], askedAt: ANCIENT }];
  const passedOn = { conversationId: 1, userId: "U1", content: "n", createdAt };
  await ownership.record({ shard: 0, run: { conversationId, begin, step, effect, decisions, passedOn } });
}

async function idsOf(store: OpenedStore): Promise<number[]> {
  const { read } = await store.sql();
  const rows = await read.selectFrom("conversations").select("id").orderBy("id").execute();
  return rows.map(({ id }) => id);
}

async function counts(store: OpenedStore): Promise<number[]> {
  const { read } = await store.sql();
  const counted: number[] = [];
  for (const table of TABLES) {
    const query = read.selectFrom(table).select((row) => row.fn.countAll<number>().as("count"));
    counted.push(Number((await query.executeTakeFirst())?.count));
  }
  return counted;
}

describe.each(databaseKinds)("retention on $name", ({ create }) => {
  test("removes old messages with all that belongs to them, batch by batch", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    const old = Array.from({ length: 10 }, (): Given => ({ createdAt: OLD, message: "done" }));
    await store(ownership, old);

    expect(await remove("messages")).toBe(10);

    expect(await idsOf(opened)).toEqual([11]);
    expect(await counts(opened)).toEqual([1, 0, 1, 1, 1]);
    expect(await remove("messages")).toBe(0);
  });

  test("removes a run with its message and all that belongs to it, and keeps one that waits", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    const given: Given = { createdAt: ANCIENT, message: "waiting" };
    const [ended = 0, waiting = 0] = await store(ownership, [given, given]);
    for (const conversationId of [ended, waiting]) await storeRun(ownership, conversationId);
    await ownership.record({ shard: 0, message: aChange(ended, { status: "done" }) });

    expect(await remove("messages")).toBe(1);

    const { read } = await opened.sql();
    for (const table of ["steps", "effects", "decisions", "run_notes"] as const) {
      const rows = await read.selectFrom(table).select("run_id").execute();
      expect(rows).toEqual([{ run_id: waiting }]);
    }
    expect(await opened.runs.runs({})).toMatchObject([{ conversationId: waiting }]);
  });

  test("keeps what is open, what was active lately, and dead letters until their own age is over", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    const cases: [Given, "kept" | "removed"][] = [
      [{ createdAt: ANCIENT, message: "pending" }, "kept"],
      [{ createdAt: ANCIENT, message: "claimed" }, "kept"],
      [{ createdAt: ANCIENT, message: "done", delivery: "pending" }, "kept"],
      [{ createdAt: ANCIENT, message: "dead", delivery: "claimed" }, "kept"],
      [{ createdAt: ANCIENT, message: "done", emittedAt: BEFORE }, "kept"],
      [{ createdAt: OLD, message: "dead" }, "kept"],
      [{ createdAt: OLD, message: "done", delivery: "dead" }, "kept"],
      [{ createdAt: ANCIENT, message: "dead", emittedAt: DEAD_BEFORE }, "kept"],
      [{ createdAt: ANCIENT, message: "dead" }, "removed"],
      [{ createdAt: ANCIENT, message: "done", delivery: "dead" }, "removed"],
      [{ createdAt: OLD, message: "done" }, "removed"],
    ];
    const ids = await store(
      ownership,
      cases.map(([given]) => given),
    );
    const before = await counts(opened);

    expect(await remove("messages")).toBe(3);

    const kept = new Set(await idsOf(opened));
    expect(ids.map((id) => (kept.has(id) ? "kept" : "removed"))).toEqual(cases.map(([, outcome]) => outcome));
    const gone = [3, 1, 3, 3, 3];
    expect(await counts(opened)).toEqual(before.map((count, index) => count - (gone[index] ?? 0)));
  });

  test("keeps no more messages than may be kept, but what is open or a dead letter", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    const [open, dead] = await store(ownership, [
      { createdAt: NOW, message: "pending" },
      { createdAt: NOW, message: "dead" },
      ...Array.from({ length: 8 }, (): Given => ({ createdAt: NOW, message: "done" })),
    ]);

    expect(await remove("messages", { keep: 3 })).toBe(6);

    expect(await idsOf(opened)).toEqual([open, dead, 9, 10, 11]);
  });

  test("never removes the newest message and event, whose numbers would come again", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    const first = await storeOne(ownership, { createdAt: ANCIENT, message: "done" });
    const second = await ownership.accept(aMessage({ gateway: "a", createdAt: ANCIENT }), {
      ...{ shard: 0, status: "claimed", attempts: 1 },
    });
    const done = {
      status: "done",
      attempts: 1,
      interruptions: 0,
      nextAttemptAt: null,
      lastError: null,
    } as const;
    await ownership.record({ shard: 0, message: { conversationId: second.conversationId, ...done } });

    expect(await remove("messages")).toBe(0);
    expect(await idsOf(opened)).toEqual([first, second.conversationId]);
  });

  test("that fails in the middle of a batch leaves nothing half removed", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    await store(ownership, [
      { createdAt: OLD, message: "done" },
      { createdAt: OLD, message: "done" },
    ]);
    const before = await counts(opened);
    await refuseDeletes(opened);

    await expect(remove("messages")).rejects.toMatchObject({ code: expect.stringMatching(/^STORE_/) });

    expect(await counts(opened)).toEqual(before);
    expect(await opened.operator.wasRemoved(1)).toBe(false);
  });

  test("is done by one process at a time, and the other's batch removes nothing once it is overtaken", async (t) => {
    const location = await create(t);
    const { store: opened, ownership, remove } = await setUp(t, location);
    await store(ownership, [{ createdAt: OLD, message: "done" }]);
    const other = await openStore(location);
    t.onTestFinished(() => other.close());
    const claims = await Promise.all(
      [opened, other, opened, other].map(({ retention }) =>
        retention.claim({ now: NOW + 1, since: NOW - 1 }),
      ),
    );
    expect(claims).toEqual([undefined, undefined, undefined, undefined]);

    expect(await other.retention.claim({ now: NOW + 10, since: NOW })).toBe(2);
    for (const part of ["messages", "failedAttempts", "hints", "rateCounts"] as const)
      expect(await remove(part)).toBe(0);

    expect(await idsOf(opened)).toEqual([1, 2]);
  });

  test("removes failed attempts sooner, but not those that a dead letter or an open message needs", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    const [, dead, open, mute] = await store(ownership, [
      { createdAt: OLD, message: "done" },
      { createdAt: OLD, message: "dead" },
      { createdAt: OLD, message: "pending" },
      { createdAt: OLD, message: "done", delivery: "dead" },
    ]);

    expect(await remove("failedAttempts")).toBe(1);
    expect(await remove("failedAttempts", { before: 0, keep: 1 })).toBe(0);

    const left = await (await opened.sql()).read
      .selectFrom("failed_attempts")
      .select("conversation_id")
      .execute();
    expect(left.map(({ conversation_id }) => conversation_id)).toEqual([dead, open, mute, 5]);
  });

  test("removes hints and counts by their age and number", async (t) => {
    const { store: opened, ownership, remove } = await setUp(t, await create(t));
    for (let index = 0; index < 10; index += 1) {
      const at = BEFORE - 5 + index;
      await ownership.record({ shard: 0, hint: { threadKey: `t${index}`, hintedAt: at } });
      const subject = { scope: "user", subject: `u${index}`, max: 9 };
      await opened.admission.countRequest([subject], { now: at, windowMs: 1000 });
    }
    const { read } = await opened.sql();
    const hints = () => read.selectFrom("hinted_threads").select("thread_key").execute();
    const counted = () => read.selectFrom("rate_limits").select("subject").execute();

    expect([await remove("hints"), await remove("rateCounts")]).toEqual([5, 5]);
    expect([(await hints()).length, (await counted()).length]).toEqual([5, 5]);
    expect([await remove("hints", { keep: 2 }), await remove("rateCounts", { keep: 2 })]).toEqual([3, 3]);

    expect((await hints()).map(({ thread_key }) => thread_key).sort()).toEqual(["t8", "t9"]);
    expect((await counted()).map(({ subject }) => subject).sort()).toEqual(["u8", "u9"]);
  });
});

test("keeps a dead letter whole that a person brings back in the same moment", async (t) => {
  const { url } = await createDatabase(t);
  const { store: opened, ownership, remove } = await setUp(t, url);
  await store(ownership, [{ createdAt: ANCIENT, message: "dead", delivery: "dead" }]);
  const before = await counts(opened);
  const person = new Client({ connectionString: url });
  await person.connect();
  t.onTestFinished(() => person.end());
  await person.query("begin");
  await person.query("update process_event_deliveries set status = 'pending' where status = 'dead'");

  const removing = remove("messages");
  await expect.poll(() => waitingForLocks(person)).toBe(1);
  await person.query("commit");

  expect(await removing).toBe(0);
  expect(await counts(opened)).toEqual(before);
});

async function waitingForLocks(client: Client): Promise<number> {
  const { rows } = await client.query(
    "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
  );
  return rows.length;
}

/** As a crash would: the last statement of the transaction does not come to its end. */
async function refuseDeletes(store: OpenedStore): Promise<void> {
  const sql = await store.sql();
  const statements =
    sql.dialect === "sqlite"
      ? ["create trigger refuse before delete on conversations begin select raise(abort, 'refused'); end"]
      : [
          "create function refuse() returns trigger language plpgsql as 'begin raise exception ''refused''; end'",
          "create trigger refuse before delete on conversations for each row execute function refuse()",
        ];
  await sql.write(statements.map((statement) => raw.raw(statement).compile(sql.read)));
}
