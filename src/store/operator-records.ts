/** What an operator asks of the database, for both: lists of messages, dead letters and gateways. Facts of one: why.ts. */
import { sql } from "kysely";
import type {
  DeadLetterFilter,
  GatewayCounts,
  ListedDeadLetter,
  MessageSummary,
  OperatorRecords,
} from "../core/operator-records.ts";
import type { EventKind } from "../core/process-event.ts";
import type { MessageStatus } from "../core/store.ts";
import { processes } from "./processes.ts";
import type { Sql } from "./sql.ts";
import { messageFacts } from "./why.ts";

/** How many of the latest messages are searched for the name of a task. */
const MAX_SEARCHED_MESSAGES = 100_000;
/** How many of those are looked at closely. */
const MAX_NAMING_MESSAGES = 1000;

export function createOperatorRecords(db: Sql): OperatorRecords {
  return {
    facts: (conversationId) => messageFacts(db, conversationId),
    messagesByKey: (key) => messagesByKey(db, key),
    wasRemoved: (conversationId) => wasRemoved(db, conversationId),
    messageOfEvent: (eventId) => messageOfEvent(db, eventId),
    messagesOfTask: (key, { limit }) => messagesOfTask(db, { key, limit }),
    messages: (filter) => messages(db, filter),
    deadLetters: async (filter) => {
      const both = [...(await deadMessages(db, filter)), ...(await deadDeliveries(db, filter))];
      return both.sort((a, b) => a.createdAt - b.createdAt).slice(0, filter.limit);
    },
    gateways: () => gateways(db),
    processes: () => processes(db),
    hasKeyPrefix: (prefix) => hasKeyPrefix(db, prefix),
  };
}

async function messagesByKey({ read }: Sql, key: string): Promise<number[]> {
  // As the unique index has it, so that it is used.
  const rows = await read
    .selectFrom("conversations")
    .select("id")
    .where(sql<boolean>`coalesce(gateway_id, 0) in (select 0 union all select id from gateways)`)
    .where("idempotency_key", "=", key)
    .orderBy("id")
    .execute();
  return rows.map(({ id }) => id);
}

async function wasRemoved({ read }: Sql, conversationId: number): Promise<boolean> {
  const { rows } = await sql`select 1 as found from retention where removed_through >= ${conversationId}
    and not exists (select 1 from conversations where id = ${conversationId})`.execute(read);
  return rows.length > 0;
}

async function messageOfEvent({ read }: Sql, eventId: number): Promise<number | undefined> {
  const row = await read
    .selectFrom("process_events")
    .select("conversation_id")
    .where("id", "=", eventId)
    .executeTakeFirst();
  return row?.conversation_id;
}

async function messagesOfTask({ read }: Sql, { key, limit }: { key: string; limit: number }) {
  const rows = await read
    .selectFrom("conversations")
    .select(["id", "content"])
    .where(
      "id",
      ">",
      sql<number>`(select coalesce(max(id), 0) from conversations) - ${MAX_SEARCHED_MESSAGES}`,
    )
    .where(sql<boolean>`lower(content) like ${`%/%task%${key.toLowerCase()}%`}`)
    .orderBy("id", "desc")
    .limit(MAX_NAMING_MESSAGES)
    .execute();
  // PROJ-1 is not PROJ-12.
  const name = new RegExp(`(?<![\\w-])${key}(?![\\w-])`, "i");
  const naming = rows.filter(({ content }) => name.test(content)).slice(0, limit);
  return naming.map(({ id }) => id).reverse();
}

async function messages(
  { read }: Sql,
  { gateway, status, limit }: Parameters<OperatorRecords["messages"]>[0],
): Promise<MessageSummary[]> {
  const rows = await read
    .selectFrom("conversations as c")
    .leftJoin("inbox as i", "i.conversation_id", "c.id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .select(["c.id", "c.gateway_channel_id", "c.thread_ts", "c.user_id", "c.content", "c.created_at"])
    .select(["g.name as gateway", "i.status"])
    .$if(gateway !== undefined, (query) => query.where("g.name", "=", gateway ?? ""))
    .$if(status === "done", (query) =>
      query.where((where) => where.or([where("i.status", "is", null), where("i.status", "=", "done")])),
    )
    .$if(status !== undefined && status !== "done", (query) => query.where("i.status", "=", status ?? ""))
    .orderBy("c.id", "desc")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    conversationId: row.id,
    gateway: row.gateway,
    channelId: row.gateway_channel_id,
    threadTs: row.thread_ts,
    userId: row.user_id,
    content: row.content,
    status: (row.status ?? "done") as MessageStatus,
    createdAt: row.created_at,
  }));
}

async function deadMessages({ read }: Sql, filter: DeadLetterFilter): Promise<ListedDeadLetter[]> {
  const { gateway, createdBefore, conversationId, eventId, limit } = filter;
  if (eventId !== undefined) return [];
  const rows = await read
    .selectFrom("inbox as i")
    .innerJoin("conversations as c", "c.id", "i.conversation_id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .select(["c.id", "c.created_at", "g.name as gateway", "i.attempts", "i.last_error"])
    .where("i.status", "=", "dead")
    .$if(gateway !== undefined, (query) => query.where("g.name", "=", gateway ?? ""))
    .$if(createdBefore !== undefined, (query) => query.where("c.created_at", "<", createdBefore ?? 0))
    .$if(conversationId !== undefined, (query) => query.where("c.id", "=", conversationId ?? 0))
    .orderBy("c.id")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    conversationId: row.id,
    gateway: row.gateway,
    attempts: row.attempts,
    lastError: row.last_error ?? "",
    createdAt: row.created_at,
  }));
}

async function deadDeliveries({ read }: Sql, filter: DeadLetterFilter): Promise<ListedDeadLetter[]> {
  const { gateway, createdBefore, conversationId, eventId, limit } = filter;
  if (conversationId !== undefined) return [];
  const rows = await read
    .selectFrom("process_event_deliveries as d")
    .innerJoin("process_events as e", "e.id", "d.event_id")
    .innerJoin("gateways as g", "g.id", "d.gateway_id")
    .select(["e.conversation_id", "e.created_at", "e.kind", "d.event_id", "d.target", "d.delivery_id"])
    .select(["g.name as gateway", "d.attempts", "d.last_error"])
    // Written out: SQLite takes the partial index of dead deliveries only for a constant.
    .where("d.status", "=", sql.lit("dead"))
    .$if(gateway !== undefined, (query) => query.where("g.name", "=", gateway ?? ""))
    .$if(createdBefore !== undefined, (query) => query.where("e.created_at", "<", createdBefore ?? 0))
    .$if(eventId !== undefined, (query) => query.where("d.event_id", "=", eventId ?? 0))
    .orderBy("d.event_id")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    conversationId: row.conversation_id,
    delivery: { eventId: row.event_id, gateway: row.gateway, target: row.target },
    deliveryId: row.delivery_id,
    kind: row.kind as EventKind,
    gateway: row.gateway,
    attempts: row.attempts,
    lastError: row.last_error ?? "",
    createdAt: row.created_at,
  }));
}

async function gateways({ read }: Sql): Promise<GatewayCounts[]> {
  const known = await read.selectFrom("gateways").select(["id", "name"]).orderBy("name").execute();
  const inbox = await read
    .selectFrom("inbox as i")
    .innerJoin("conversations as c", "c.id", "i.conversation_id")
    .select(["c.gateway_id", sql<number>`sum(case when i.status = 'dead' then 1 else 0 end)`.as("dead")])
    .select(sql<number>`sum(case when i.status in ('pending', 'claimed') then 1 else 0 end)`.as("open"))
    .groupBy("c.gateway_id")
    .execute();
  // Two queries, each of which has an index of its own.
  const outbox = (condition: ReturnType<typeof sql<boolean>>) =>
    read
      .selectFrom("process_event_deliveries")
      .select(["gateway_id", (row) => row.fn.countAll<number>().as("count")])
      .where(condition)
      .groupBy("gateway_id")
      .execute();
  const open = await outbox(sql<boolean>`status in ('pending', 'claimed')`);
  const dead = await outbox(sql<boolean>`status = 'dead'`);
  return known.map(({ id, name }) => {
    const ofGateway = <Row extends { gateway_id: number | null }>(rows: Row[]) =>
      rows.find(({ gateway_id }) => gateway_id === id);
    return {
      gateway: name,
      openMessages: Number(ofGateway(inbox)?.open ?? 0),
      deadMessages: Number(ofGateway(inbox)?.dead ?? 0),
      openDeliveries: Number(ofGateway(open)?.count ?? 0),
      deadDeliveries: Number(ofGateway(dead)?.count ?? 0),
    };
  });
}

async function hasKeyPrefix({ read }: Sql, prefix: string): Promise<boolean> {
  const pattern = `${prefix.replace(/[\\%_]/g, "\\$&")}%`;
  const row = await read
    .selectFrom("conversations")
    .select("id")
    .where(sql<boolean>`idempotency_key is not null and idempotency_key like ${pattern} escape '\\'`)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
