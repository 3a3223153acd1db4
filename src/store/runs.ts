/** What anyone reads and says about runs, for both databases; what their owner writes is run-changes.ts's. */
import { CompiledQuery, type RawBuilder, type SelectQueryBuilder, sql } from "kysely";
import { checkedSignal } from "../core/run-answer.ts";
import type {
  DecisionRecord,
  EffectChange,
  RunDetails,
  RunFilter,
  RunRecord,
  RunRecords,
  RunStatus,
} from "../core/run-store.ts";
import type { WrittenShard } from "./records.ts";
import { lockMessages } from "./row-locks.ts";
import { IS_AWAITED, LOCK_OF_KEY } from "./run-changes.ts";
import { keepRound, lastRoundOf } from "./run-rounds.ts";
import type { DecisionsTable, RunsTable } from "./schema.ts";
import type { Sql } from "./sql.ts";

/** How many runs a list holds where its caller sets no limit. */
const MAX_LISTED = 100;

/** `wake` tells the owner of a shard that there is something to look at; without one, whoever owns any. */
export function createRunRecords(
  db: Sql,
  wake: (shard?: WrittenShard) => Promise<void>,
): Omit<RunRecords, "openThreads"> {
  return {
    run: (conversationId) => runDetails(db, conversationId),
    runs: (filter) => list(db, filter),
    async answer(conversationId, { name, value, by, at }) {
      const isNamed = name === undefined ? sql`` : sql`and name = ${name}`;
      const { resumed, answered } = answersTo(
        db,
        sql`run_id = ${conversationId} and kind = 'question' ${isNamed}`,
        { answer: JSON.stringify(value), by, at },
      );
      const results = await db.write([...lockMessage(db, conversationId), resumed, answered]);
      if (!results.at(-1)?.length) return false;
      await wake();
      return true;
    },
    async signal(name, event) {
      const { key, answer, at } = checkedSignal(name, event);
      const { open, resumed, answered } = answersTo(db, sql`key = ${key}`, { answer, by: null, at });
      // Kept for whoever waits for it later, where nobody does.
      const kept =
        sql`insert into run_signals (key, value, at) select ${key}, ${answer}, cast(${at} as bigint)
        where not exists (${open})
        on conflict (key) do update set value = excluded.value, at = excluded.at`.compile(db.read);
      const told = (await db.write([...lockKey(db, key), resumed, kept, answered])).at(-1)?.length ?? 0;
      if (told > 0) await wake();
      return told;
    },
    async reopen(conversationId) {
      const ended = `exists (select 1 from runs r where r.conversation_id = c.id and r.ended_at is not null
        and r.status <> 'done')`;
      const insert = sql`insert into inbox (conversation_id, status, attempts, is_unowned, round)
        select c.id, 'pending', 0, 1, 1 + ${lastRoundOf(conversationId)} from conversations c where c.id = ${conversationId} and ${sql.raw(ended)}
        on conflict (conversation_id) do update set status = 'pending', attempts = 0, interruptions = 0,
          next_attempt_at = null, stopped_by = null, is_unowned = 1, round = excluded.round
        where inbox.status = 'dead' or inbox.status = 'done' returning conversation_id`;
      const [rows] = await db.write([insert.compile(db.read), keepRound(db, conversationId)]);
      if (!rows?.length) return false;
      await wake();
      return true;
    },
  };
}

/**
 * SQLite has one writer; on PostgreSQL the run may begin to wait at this moment, or go on without an answer, and would
 * see that no more than the answer sees what it does.
 */
function lockMessage(db: Sql, conversationId: number): CompiledQuery[] {
  return lockMessages(db, sql`conversation_id = ${conversationId}`);
}

/** None begins to wait for the key any more; and none of those who do goes on without seeing what is told. */
function lockKey(db: Sql, key: string): CompiledQuery[] {
  if (db.dialect === "sqlite") return [];
  const waiting = sql`conversation_id in (select run_id from decisions where key = ${key} and answered_at is null)`;
  return [CompiledQuery.raw(LOCK_OF_KEY, [key]), ...lockMessages(db, waiting)];
}

/**
 * Answers those decisions that are open; their runs are looked at by their owners, unless they are being worked on. What
 * goes by which of them are open comes first: once they are answered, nothing tells this answer from another one of the
 * same instant.
 */
function answersTo(
  { read }: Sql,
  which: RawBuilder<unknown>,
  { answer, by, at }: { answer: string; by: string | null; at: number },
) {
  const isOpen = sql`${which} and answered_at is null and ${sql.raw(IS_AWAITED)}`;
  const open = sql`select run_id from decisions where ${isOpen}`;
  return {
    open,
    resumed: sql`update inbox set status = 'pending', is_unowned = 1, next_attempt_at = null
      where status = 'waiting' and conversation_id in (${open})`.compile(read),
    answered: sql`update decisions set answer = ${answer}, answered_by = ${by}, answered_at = ${at}
      where ${isOpen} returning run_id`.compile(read),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the builder's type names every table of the join
function runRows(read: Sql["read"]): SelectQueryBuilder<any, any, RunRow> {
  return read
    .selectFrom("runs as r")
    .innerJoin("conversations as c", "c.id", "r.conversation_id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .leftJoin("inbox as i", "i.conversation_id", "r.conversation_id")
    .selectAll("r")
    .select(["g.name as gateway", "c.gateway_channel_id", "c.thread_ts", "c.user_id", "i.stopped_by"]);
}

type RunRow = Omit<RunsTable, "message_round"> & {
  gateway: string | null;
  gateway_channel_id: string;
  thread_ts: string;
  user_id: string;
  stopped_by: string | null;
};

async function list(
  { read }: Sql,
  { isOpen, thread, lane, limit = MAX_LISTED }: RunFilter,
): Promise<RunRecord[]> {
  let query = runRows(read).orderBy("r.conversation_id", "desc").limit(limit);
  if (isOpen !== undefined) query = query.where("r.ended_at", isOpen ? "is" : "is not", null);
  if (lane !== undefined) query = query.where("r.lane", "=", lane);
  if (thread) {
    query = query
      .where("c.gateway_channel_id", "=", thread.channelId)
      .where("c.thread_ts", "=", thread.threadTs)
      .where("g.name", thread.gateway === null ? "is" : "=", thread.gateway);
  }
  return (await query.execute()).map(toRun);
}

export async function runDetails({ read }: Sql, id: number): Promise<RunDetails | undefined> {
  const row = await runRows(read).where("r.conversation_id", "=", id).executeTakeFirst();
  if (!row) return undefined;
  const steps = await read
    .selectFrom("steps")
    .selectAll()
    .where("run_id", "=", id)
    .orderBy("ordinal")
    .execute();
  const effects = await read
    .selectFrom("effects")
    .selectAll()
    .where("run_id", "=", id)
    .orderBy("at")
    .orderBy("step")
    .execute();
  const decisions = await read
    .selectFrom("decisions")
    .selectAll()
    .where("run_id", "=", id)
    .orderBy("asked_at")
    .orderBy("name")
    .execute();
  const notes = await read
    .selectFrom("run_notes")
    .selectAll()
    .where("run_id", "=", id)
    .orderBy("conversation_id")
    .execute();
  return {
    ...toRun(row),
    steps: steps.map(({ name, ordinal, attempts, result, begun_at, ended_at }) => ({
      ...{ name, ordinal, attempts, result },
      begunAt: begun_at,
      endedAt: ended_at,
    })),
    effects: effects.map(({ step, key, outcome, at }) => ({
      ...{ step, key, at },
      outcome: outcome as EffectChange["outcome"],
    })),
    decisions: decisions.map(toDecision),
    notes: notes.map((note) => ({
      conversationId: note.conversation_id,
      userId: note.user_id,
      content: note.content,
      createdAt: note.created_at,
      takenAt: note.taken_at,
    })),
  };
}

function toRun(row: RunRow): RunRecord {
  return {
    conversationId: row.conversation_id,
    gateway: row.gateway,
    channelId: row.gateway_channel_id,
    threadTs: row.thread_ts,
    userId: row.user_id,
    worker: row.worker,
    version: row.version,
    isDetached: row.is_detached === 1,
    lane: row.lane,
    title: row.title,
    status: row.status as RunStatus,
    reason: row.reason,
    round: row.round,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    endedAt: row.ended_at,
    stoppedBy: row.ended_at === null ? row.stopped_by : null,
  };
}

function toDecision(row: DecisionsTable): DecisionRecord {
  return {
    name: row.name,
    kind: row.kind as DecisionRecord["kind"],
    text: row.text,
    choices: JSON.parse(row.choices) as string[],
    key: row.key,
    askedAt: row.asked_at,
    dueAt: row.due_at,
    answer: row.answer,
    answeredBy: row.answered_by,
    answeredAt: row.answered_at,
  };
}
