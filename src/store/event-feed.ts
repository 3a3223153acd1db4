/**
 * Core's feed of events over both databases. SQLite has one writer at a time, so that ids are in the order of the
 * commits. PostgreSQL gives ids before the commit, and connections commit side by side: there the order is that of
 * the transactions, and what a transaction stored is shown once no older one is open any more. A reader that pages
 * by `id > last` there would pass over the events of the transaction that commits second.
 */
import { sql } from "kysely";
import type { EventFeed, EventFilter, FeedEvent, FeedPage } from "../core/event-feed.ts";
import type { EventKind } from "../core/process-event.ts";
import { foreignCursor, type Place, toCursor, toPlace } from "./feed-cursor.ts";
import type { Sql } from "./sql.ts";

/** The place behind all that can be shown, and whether there is more that cannot be shown yet. */
interface Horizon extends Place {
  isHeldBack: boolean;
}

/** The feed of one database. */
export function createEventFeed(db: Sql): Omit<EventFeed, "beginning"> {
  let isHealed: Promise<void> | undefined;
  const horizon = async (): Promise<Horizon> => {
    if (db.dialect === "sqlite") return lastId(db);
    isHealed ??= healRestored(db);
    await isHealed.catch((error) => {
      isHealed = undefined;
      throw error;
    });
    return oldestOpenTransaction(db);
  };
  return {
    now: async () => toCursor(db.dialect, await horizon()),
    async eventsAfter(cursor, options) {
      const after = toPlace(db.dialect, cursor);
      // Before the events: whatever lies below it is committed by the time they are read.
      return pageOf(db, { after, end: await horizon(), ...options });
    },
  };
}

async function lastId({ read }: Sql): Promise<Horizon> {
  const row = await read
    .selectFrom("process_events")
    .select((row) => row.fn.max("id").as("id"))
    .executeTakeFirst();
  return { transaction: 0, id: row?.id ?? 0, isHeldBack: false };
}

const OLDEST_OPEN = sql<number>`pg_snapshot_xmin(pg_current_snapshot())::text::bigint`;

async function oldestOpenTransaction({ read }: Sql): Promise<Horizon> {
  const { rows } = await sql<{ transaction: number; held_back: boolean }>`
    select ${OLDEST_OPEN} as transaction,
      exists (select from process_events where transaction_id >= ${OLDEST_OPEN}) as held_back`.execute(read);
  return { transaction: rows[0]?.transaction ?? 0, id: 0, isHeldBack: rows[0]?.held_back ?? false };
}

/**
 * A dump that was restored on another server brings numbers of transactions that are still to come there, and its
 * events would not be shown until then. They come before all others instead.
 */
async function healRestored({ read, write }: Sql): Promise<void> {
  const heal = sql`update process_events set transaction_id = 0
    where transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint`;
  await write([heal.compile(read)]);
}

interface Reading {
  after: Place;
  end: Horizon;
  filter: EventFilter;
  limit: number;
}

async function pageOf(db: Sql, { after, end, filter, limit }: Reading): Promise<FeedPage> {
  if (isBefore(end, after)) throw foreignCursor("it is ahead of the database");
  const { conversationId, channelId, threadTs, gateway } = filter;
  const isPostgres = db.dialect === "postgres";
  const rows = await db.read
    .selectFrom("process_events as e")
    .innerJoin("conversations as c", "c.id", "e.conversation_id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .select(["e.id", "e.conversation_id", "e.kind", "e.content", "e.created_at"])
    .select(["c.gateway_channel_id", "c.thread_ts", "g.name as gateway"])
    .$if(isPostgres, (query) =>
      query
        .select("e.transaction_id")
        .where(sql<boolean>`(e.transaction_id, e.id) > (${after.transaction}, ${after.id})`)
        .where("e.transaction_id", "<", end.transaction)
        .orderBy("e.transaction_id"),
    )
    .$if(!isPostgres, (query) => query.where("e.id", ">", after.id).where("e.id", "<=", end.id))
    .$if(conversationId !== undefined, (query) => query.where("e.conversation_id", "=", conversationId ?? 0))
    .$if(channelId !== undefined, (query) => query.where("c.gateway_channel_id", "=", channelId ?? ""))
    .$if(threadTs !== undefined, (query) => query.where("c.thread_ts", "=", threadTs ?? ""))
    .$if(gateway !== undefined, (query) => query.where("g.name", "=", gateway ?? ""))
    .orderBy("e.id")
    .limit(limit)
    .execute();
  const events = rows.map(
    (row): FeedEvent => ({
      cursor: toCursor(db.dialect, { transaction: row.transaction_id ?? 0, id: row.id }),
      eventId: row.id,
      conversationId: row.conversation_id,
      kind: row.kind as EventKind,
      content: row.content,
      createdAt: row.created_at,
      gateway: row.gateway,
      channelId: row.gateway_channel_id,
      threadTs: row.thread_ts,
    }),
  );
  const isAtEnd = events.length < limit;
  // At the end all events up to there have been looked at, also those that the filter kept back.
  const cursor = isAtEnd ? toCursor(db.dialect, end) : (events.at(-1)?.cursor ?? toCursor(db.dialect, after));
  return { events, cursor, isAtEnd, isHeldBack: end.isHeldBack };
}

function isBefore(a: Place, b: Place): boolean {
  return a.transaction < b.transaction || (a.transaction === b.transaction && a.id < b.id);
}
