/** Cold readings of messages and events, and what a person does with dead letters; for both databases. */
import { type CompiledQuery, sql } from "kysely";
import type { EventKind } from "../core/process-event.ts";
import type { DeadLetter, DeliveryKey, EventRecord, StopRequest, Store } from "../core/store.ts";
import { deliveredAtOf, type MessageRow, RUN_SELECTION, toDeliveryRecord, toStoredMessage } from "./rows.ts";
import { endRunsOfTheDead } from "./run-ends.ts";
import { keepRound, lastRoundOf } from "./run-rounds.ts";
import type { Sql } from "./sql.ts";

type Records = Pick<
  Store,
  "conversation" | "events" | "requestStop" | "deadLetters" | "retryDeadLetter" | "discardDeadLetter"
>;

/** The shard that someone has written for, by its gateway's row id: 0 for none. */
export interface WrittenShard {
  gatewayId: number;
  shard: number;
}

/** `wake` tells the owner that there is something to look at; without a shard, whoever owns any. */
export function createRecords(db: Sql, wake: (shard?: WrittenShard) => Promise<void>): Records {
  return {
    conversation: (conversationId) => conversation(db, conversationId),
    events: (conversationId) => events(db, conversationId),
    async requestStop(conversationId, by) {
      const [rows] = await db.write([requestStop(db, { conversationId, by })]);
      const isOpen = (rows?.length ?? 0) > 0;
      if (isOpen) await wake(await shardOfMessage(db, conversationId));
      return isOpen;
    },
    deadLetters: (options) => deadLetters(db, options),
    async retryDeadLetter(letter) {
      const queries = letter.delivery
        ? [retryDelivery(db, letter.delivery)]
        : [retryMessage(db, letter), keepRound(db, letter.conversationId)];
      const [rows] = await db.write(queries);
      await wake();
      return (rows?.length ?? 0) > 0;
    },
    async discardDeadLetter(letter) {
      const queries = letter.delivery
        ? [discardDelivery(db, letter.delivery)]
        : [discardMessage(db, letter), endRun(db, letter)];
      const [rows] = await db.write(queries);
      return (rows?.length ?? 0) > 0;
    },
  };
}

async function conversation({ read }: Sql, conversationId: number) {
  const row = await read
    .selectFrom("conversations as c")
    .leftJoin("inbox as i", "i.conversation_id", "c.id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .selectAll("c")
    .select([
      "g.name as gateway",
      "i.status",
      "i.attempts",
      "i.interruptions",
      "i.next_attempt_at",
      "i.last_error",
      "i.stopped_by",
      "i.round",
    ])
    .leftJoin("runs as r", "r.conversation_id", "c.id")
    .select(RUN_SELECTION)
    .where("c.id", "=", conversationId)
    .executeTakeFirst();
  return row && toStoredMessage(row satisfies MessageRow);
}

async function events({ read }: Sql, conversationId: number): Promise<EventRecord[]> {
  const rows = await read
    .selectFrom("process_events")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .orderBy("id")
    .execute();
  const deliveries = await read
    .selectFrom("process_event_deliveries as d")
    .innerJoin("gateways as g", "g.id", "d.gateway_id")
    .innerJoin("process_events as e", "e.id", "d.event_id")
    .selectAll("d")
    .select("g.name as gateway")
    .where("e.conversation_id", "=", conversationId)
    .orderBy("d.event_id")
    .orderBy("g.name")
    .orderBy("d.target")
    .execute();
  return rows.map((row) => {
    const ofEvent = deliveries.filter(({ event_id }) => event_id === row.id).map(toDeliveryRecord);
    const deliveredAt = deliveredAtOf({ createdAt: row.created_at }, ofEvent);
    return {
      id: row.id,
      conversationId: row.conversation_id,
      kind: row.kind as EventKind,
      content: row.content,
      createdAt: row.created_at,
      ...(deliveredAt === null ? {} : { deliveredAt }),
      deliveries: ofEvent,
    };
  });
}

/** Open and unowned at once: its owner takes it, finds it in memory or not, and ends it. */
function requestStop({ read }: Sql, { conversationId, by }: StopRequest): CompiledQuery {
  return read
    .updateTable("inbox")
    .set({ stopped_by: by, is_unowned: 1 })
    .set({ status: sql`case when status = 'waiting' then 'pending' else status end` })
    .where("conversation_id", "=", conversationId)
    .where("status", "in", ["pending", "claimed", "waiting"])
    .returning("conversation_id")
    .compile();
}

async function shardOfMessage({ read }: Sql, conversationId: number): Promise<WrittenShard | undefined> {
  return read
    .selectFrom("conversations")
    .select([sql<number>`coalesce(gateway_id, 0)`.as("gatewayId"), "shard"])
    .where("id", "=", conversationId)
    .executeTakeFirst();
}

async function deadLetters({ read }: Sql, { limit }: { limit: number }): Promise<DeadLetter[]> {
  const messages = await read
    .selectFrom("inbox as i")
    .innerJoin("conversations as c", "c.id", "i.conversation_id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .select(["c.id", "c.created_at", "g.name as gateway", "i.attempts", "i.last_error"])
    .where("i.status", "=", "dead")
    .orderBy("c.id")
    .limit(limit)
    .execute();
  const deliveries = await read
    .selectFrom("process_event_deliveries as d")
    .innerJoin("process_events as e", "e.id", "d.event_id")
    .innerJoin("gateways as g", "g.id", "d.gateway_id")
    .select(["e.conversation_id", "e.created_at", "d.event_id", "d.target", "g.name as gateway"])
    .select(["d.attempts", "d.last_error"])
    // Written out: SQLite takes the partial index of dead deliveries only for a constant.
    .where("d.status", "=", sql.lit("dead"))
    .orderBy("d.event_id")
    .limit(limit)
    .execute();
  const letters: DeadLetter[] = [
    ...messages.map((row) => ({ ...letterOf(row), conversationId: row.id })),
    ...deliveries.map((row) => ({
      ...letterOf(row),
      conversationId: row.conversation_id,
      delivery: { eventId: row.event_id, gateway: row.gateway, target: row.target },
    })),
  ];
  return letters.sort((a, b) => a.createdAt - b.createdAt).slice(0, limit);
}

interface LetterRow {
  gateway: string | null;
  attempts: number;
  last_error: string | null;
  created_at: number;
}

function letterOf({ gateway, attempts, last_error, created_at }: LetterRow) {
  return { gateway, attempts, lastError: last_error ?? "", createdAt: created_at };
}

function retryMessage({ read }: Sql, { conversationId }: DeadLetter): CompiledQuery {
  return read
    .updateTable("inbox")
    .set({ status: "pending", attempts: 0, interruptions: 0, next_attempt_at: null })
    .set({ is_unowned: 1, stopped_by: null, round: sql`1 + ${lastRoundOf(conversationId)}` })
    .where("conversation_id", "=", conversationId)
    .where("status", "=", "dead")
    .returning("conversation_id")
    .compile();
}

/** Its row stays, unlike that of a message that was handled: the last error is on it. */
function discardMessage({ read }: Sql, { conversationId }: DeadLetter): CompiledQuery {
  return read
    .updateTable("inbox")
    .set({ status: "done", attempts: 0, next_attempt_at: null })
    .where("conversation_id", "=", conversationId)
    .where("status", "=", "dead")
    .returning("conversation_id")
    .compile();
}

/** Where the message became dead without its run: nobody would ever end that. */
function endRun({ read }: Sql, { conversationId }: DeadLetter): CompiledQuery {
  const ended = endRunsOfTheDead(String(Date.now()));
  return sql`${sql.raw(ended)} and conversation_id = ${conversationId}`.compile(read);
}

function retryDelivery({ read }: Sql, key: DeliveryKey): CompiledQuery {
  return read
    .updateTable("process_event_deliveries")
    .set({ status: "pending", attempts: 0, interruptions: 0, next_retry_at: null, round: sql`round + 1` })
    .where(isDelivery(key))
    .where("status", "=", "dead")
    .returning("event_id")
    .compile();
}

function discardDelivery({ read }: Sql, key: DeliveryKey): CompiledQuery {
  return read
    .updateTable("process_event_deliveries")
    .set({ status: "done" })
    .where(isDelivery(key))
    .where("status", "=", "dead")
    .returning("event_id")
    .compile();
}

function isDelivery({ eventId, gateway, target }: DeliveryKey) {
  return sql<boolean>`event_id = ${eventId} and target = ${target}
    and gateway_id = (select id from gateways where name = ${gateway})`;
}
