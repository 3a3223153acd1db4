/**
 * Removing what is old, for both databases. Old rows are looked for by reading on in the order of their ids; what may
 * go is decided once more inside the transaction that removes it, which on PostgreSQL locks what a person could
 * bring back to life meanwhile. The newest message and event stay for ever: SQLite would give their numbers again.
 */
import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { Batch, BatchResult, RetentionStore } from "../core/retention.ts";
import { lockDeliveries, lockMessages } from "./row-locks.ts";
import type { Sql } from "./sql.ts";

export function createRetentionStore(db: Sql): RetentionStore {
  return {
    async claim({ now, since }) {
      const claim = sql`update retention set epoch = epoch + 1, claimed_at = ${now}
        where name = 'round' and (claimed_at <= ${since} or claimed_at > ${now}) returning epoch`;
      const [rows = []] = await db.write([claim.compile(db.read)]);
      return rows[0] === undefined ? undefined : Number(rows[0].epoch);
    },
    removeBatch(batch) {
      if (batch.part === "messages") return removeMessages(db, batch);
      if (batch.part === "failedAttempts") return removeFailedAttempts(db, batch);
      return removeByAge(db, batch);
    },
  };
}

/** The batch is its round's first statement: it shows a sign of life, and holds up whoever wants to take over. */
function fence({ read }: Sql, { epoch, now }: Batch): CompiledQuery {
  return sql`update retention set claimed_at = ${now} where name = 'round' and epoch = ${epoch}
    returning epoch`.compile(read);
}

const ofRound = ({ epoch }: Batch) =>
  sql<boolean>`exists (select 1 from retention where name = 'round' and epoch = ${epoch})`;

interface Old {
  ids: number[];
  next: number | undefined;
}

/** The rows behind `after` up to the first that is neither too old nor one too many. */
function oldOf(
  rows: readonly { id: number; at: number }[],
  { before, keep, limit }: Batch,
  newest: number,
): Old {
  const isOld = ({ id, at }: { id: number; at: number }) => at < before || id <= newest - keep;
  const end = rows.findIndex((row) => !isOld(row));
  const old = end === -1 ? rows : rows.slice(0, end);
  const isAtEnd = end !== -1 || rows.length < limit;
  return { ids: old.map(({ id }) => id), next: isAtEnd ? undefined : rows.at(-1)?.id };
}

async function removeMessages(db: Sql, batch: Batch): Promise<BatchResult> {
  const { read } = db;
  const rows = await read
    .selectFrom("conversations")
    .select(["id", "created_at as at"])
    .where("id", ">", batch.after)
    .orderBy("id")
    .limit(batch.limit)
    .execute();
  const newest = await newestOf(db);
  const { ids, next } = oldOf(rows, batch, newest.conversation);
  const removable = ids.filter((id) => id !== newest.conversation && id !== newest.ofEvent);
  if (removable.length === 0) return { removed: 0, next };
  const victims = victimsOf(removable, { ...batch, newest: newest.conversation });
  const results = await db.write([
    fence(db, batch),
    ...lock(db, removable),
    ...[
      sql`delete from process_event_deliveries where event_id in
        (select id from process_events where conversation_id in (${victims}))`,
      sql`delete from failed_attempts where conversation_id in (${victims})`,
      sql`delete from process_events where conversation_id in (${victims})`,
      ...OF_RUNS.map((table) => sql`delete from ${sql.table(table)} where run_id in (${victims})`),
      sql`delete from runs where conversation_id in (${victims})`,
      sql`delete from run_signals where at < ${batch.before} and ${ofRound(batch)}`,
      sql`delete from inbox where conversation_id in (${victims})`,
      sql`update retention set removed_through = coalesce((select max(id) from (${victims}) v
        where id > removed_through), removed_through) where name = 'round'`,
      sql`delete from conversations where id in (${victims}) returning id`,
    ].map((statement) => statement.compile(read)),
  ]);
  const isOurs = (results[0]?.length ?? 0) > 0;
  return { removed: results.at(-1)?.length ?? 0, next: isOurs ? next : undefined };
}

/** What goes with its run, and so with its message. */
const OF_RUNS = ["steps", "effects", "decisions", "run_notes"];

async function newestOf({ read }: Sql): Promise<{ conversation: number; ofEvent: number }> {
  const { rows } = await sql<{ conversation: number | null; of_event: number | null }>`select
    (select max(id) from conversations) as conversation,
    (select conversation_id from process_events order by id desc limit 1) as of_event`.execute(read);
  return { conversation: rows[0]?.conversation ?? 0, ofEvent: rows[0]?.of_event ?? 0 };
}

/** SQLite has one writer; on PostgreSQL a person may retry a dead letter at this moment. */
function lock(db: Sql, ids: number[]): CompiledQuery[] {
  const areOfThem = sql`conversation_id in (${sql.join(ids)})`;
  const areTheirs = sql`event_id in (select id from process_events where ${areOfThem})`;
  return [...lockMessages(db, areOfThem), ...lockDeliveries(db, areTheirs)];
}

/**
 * Those of the messages that may go. While the transaction removes what belongs to one of them this stays true of it,
 * and while anything of another is kept it stays false of that: so each statement can ask it anew.
 */
function victimsOf(ids: number[], batch: Batch & { newest: number }): RawBuilder<unknown> {
  const { before, deadBefore, keep, newest } = batch;
  const touched = (at: number) => sql`(c.created_at >= ${at}
    or exists (select 1 from process_events e where e.conversation_id = c.id and e.created_at >= ${at})
    or exists (select 1 from failed_attempts f where f.conversation_id = c.id and f.failed_at >= ${at}))`;
  const has = (states: RawBuilder<unknown>) => sql`(exists (select 1 from inbox i
      where i.conversation_id = c.id and i.status in (${states}))
    or exists (select 1 from process_events e join process_event_deliveries d on d.event_id = e.id
      where e.conversation_id = c.id and d.status in (${states})))`;
  return sql`select c.id from conversations c where c.id in (${sql.join(ids)}) and ${ofRound(batch)}
    and not ${has(sql`'pending', 'claimed', 'waiting'`)}
    and not (${has(sql`'dead'`)} and ${touched(deadBefore)})
    and (c.id <= ${newest - keep} or not ${touched(before)})`;
}

/** Those of dead letters and of what is open go with their messages: `robson why` needs them. */
async function removeFailedAttempts(db: Sql, batch: Batch): Promise<BatchResult> {
  const { read } = db;
  const rows = await read
    .selectFrom("failed_attempts")
    .select(["id", "failed_at as at"])
    .where("id", ">", batch.after)
    .orderBy("id")
    .limit(batch.limit)
    .execute();
  const last = await read.selectFrom("failed_attempts").select("id").orderBy("id", "desc").limit(1).execute();
  const { ids, next } = oldOf(rows, batch, last[0]?.id ?? 0);
  if (ids.length === 0) return { removed: 0, next };
  const [round = [], removed = []] = await db.write([
    fence(db, batch),
    sql`delete from failed_attempts where id in (${sql.join(ids)}) and ${ofRound(batch)}
      and not exists (select 1 from inbox i where i.conversation_id = failed_attempts.conversation_id
        and i.status <> 'done')
      and not exists (select 1 from process_events e join process_event_deliveries d on d.event_id = e.id
        where e.conversation_id = failed_attempts.conversation_id and d.status <> 'done') returning id`.compile(
      read,
    ),
  ]);
  return { removed: removed.length, next: round.length > 0 ? next : undefined };
}

/** Of the tables that have no ids in the order of age, but an index. */
const BY_AGE = {
  hints: { table: sql.table("hinted_threads"), at: sql.ref("hinted_at"), key: sql.ref("thread_key") },
  rateCounts: { table: sql.table("rate_limits"), at: sql.ref("window_started_at"), key: sql.ref("id") },
};

async function removeByAge(db: Sql, batch: Batch): Promise<BatchResult> {
  const { table, at, key } = batch.part === "hints" ? BY_AGE.hints : BY_AGE.rateCounts;
  // The index is read as far as rows are kept, not the table.
  const beyond = await sql<{ at: number }>`select ${at} as at from ${table} order by ${at} desc limit 1
    offset ${batch.keep}`.execute(db.read);
  const before = Math.max(batch.before, (beyond.rows[0]?.at ?? Number.NEGATIVE_INFINITY) + 1);
  const [round = [], removed = []] = await db.write([
    fence(db, batch),
    sql`delete from ${table} where ${key} in (select ${key} from ${table} where ${at} < ${before}
      order by ${at} limit ${batch.limit}) and ${ofRound(batch)} returning 1 as removed`.compile(db.read),
  ]);
  const isAtEnd = round.length === 0 || removed.length < batch.limit;
  return { removed: removed.length, next: isAtEnd ? undefined : 0 };
}
