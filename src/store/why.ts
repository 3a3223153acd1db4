/** All that is on record about one message, for `robson why`; for both databases. */
import { sql } from "kysely";
import type { DeliveryFacts, EventFacts, FailedAttempt, MessageFacts } from "../core/operator-records.ts";
import type { EventKind } from "../core/process-event.ts";
import { holderOf } from "./processes.ts";
import { deliveredAtOf, type MessageRow, RUN_SELECTION, toDeliveryRecord, toStoredMessage } from "./rows.ts";
import { runDetails } from "./runs.ts";
import type { FailedAttemptsTable } from "./schema.ts";
import type { Sql } from "./sql.ts";

/** How many messages before it in its thread are counted. */
const MAX_BEHIND = 1000;

export async function messageFacts(db: Sql, conversationId: number): Promise<MessageFacts | undefined> {
  const row = await messageRow(db, conversationId);
  if (!row) return undefined;
  const failures = await failuresOf(db, conversationId);
  const message = toStoredMessage(row);
  // Long work stands in no line of its thread.
  const isInLine = isOpenStatus(row.status) && !(message.run?.isDetached && message.run.isOpen);
  const run = message.run && (await runDetails(db, conversationId));
  return {
    message,
    isUnowned: row.is_unowned === 1,
    isDiscarded: row.status === "done",
    failures: failures.filter(({ event_id }) => event_id === null).map(toFailedAttempt),
    events: await eventsOf(db, { conversationId, failures }),
    isBehindMessages: isInLine ? await messagesBefore(db, row) : [],
    holder: await holderOf(db, row),
    ...(run ? { run } : {}),
  };
}

function isOpenStatus(status: string | null): boolean {
  return status === "pending" || status === "claimed";
}

function messageRow({ read }: Sql, conversationId: number) {
  return read
    .selectFrom("conversations as c")
    .leftJoin("inbox as i", "i.conversation_id", "c.id")
    .leftJoin("gateways as g", "g.id", "c.gateway_id")
    .selectAll("c")
    .select(["g.name as gateway", "i.status", "i.attempts", "i.interruptions"])
    .select(["i.next_attempt_at", "i.last_error", "i.stopped_by", "i.is_unowned", "i.round"])
    .leftJoin("runs as r", "r.conversation_id", "c.id")
    .select(RUN_SELECTION)
    .where("c.id", "=", conversationId)
    .executeTakeFirst();
}

type FailureRow = Omit<FailedAttemptsTable, "id"> & { id: number };

function failuresOf({ read }: Sql, conversationId: number): Promise<FailureRow[]> {
  return read
    .selectFrom("failed_attempts")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .orderBy("id")
    .execute();
}

function toFailedAttempt({ attempt, worker, error, failed_at, next_at }: FailureRow): FailedAttempt {
  return { attempt, worker, error, failedAt: failed_at, nextAt: next_at };
}

/**
 * Of the same thread, open, and before it in its lane, the next one last. A message enters when it is accepted, and
 * again, at the end, when its next attempt is due; the one that is handled is before all others.
 */
async function messagesBefore({ read }: Sql, row: MessageRow): Promise<number[]> {
  const enteredAt = row.next_attempt_at ?? row.created_at;
  const hasEntered = sql<number>`coalesce(i.next_attempt_at, c.created_at)`;
  const rows = await read
    .selectFrom("inbox as i")
    .innerJoin("conversations as c", "c.id", "i.conversation_id")
    .select("c.id")
    .where("i.status", "in", ["pending", "claimed"])
    .where("c.id", "<>", row.id)
    .where(sql<boolean>`not exists (select 1 from runs r
      where r.conversation_id = c.id and r.is_detached = 1 and r.ended_at is null)`)
    .where(sql<boolean>`(i.status = 'claimed' or ${hasEntered} < ${enteredAt}
      or (${hasEntered} = ${enteredAt} and c.id < ${row.id}))`)
    .where(sql<boolean>`coalesce(c.gateway_id, 0) = ${row.gateway_id ?? 0}`)
    .where("c.gateway_channel_id", "=", row.gateway_channel_id)
    .where("c.thread_ts", "=", row.thread_ts)
    .orderBy(sql`case when i.status = 'claimed' then 0 else ${hasEntered} end`)
    .orderBy("c.id")
    .limit(MAX_BEHIND)
    .execute();
  return rows.map(({ id }) => id);
}

async function eventsOf(
  db: Sql,
  { conversationId, failures }: { conversationId: number; failures: FailureRow[] },
): Promise<EventFacts[]> {
  const events = await db.read
    .selectFrom("process_events")
    .selectAll()
    .where("conversation_id", "=", conversationId)
    .orderBy("id")
    .execute();
  const rows = await deliveryRows(db, conversationId);
  const deliveries = new Map<number, DeliveryFacts[]>();
  for (const row of rows) {
    const ofEvent = deliveries.get(row.event_id) ?? [];
    deliveries.set(row.event_id, ofEvent);
    ofEvent.push({
      ...toDelivery(row, failures),
      holder: await holderOf(db, row),
      isBehindEvent: await eventBefore(db, row),
    });
  }
  return events.map((event) => ({
    id: event.id,
    sequence: event.sequence,
    kind: event.kind as EventKind,
    content: event.content,
    worker: event.worker,
    createdAt: event.created_at,
    deliveredAt: deliveredAtOf({ createdAt: event.created_at }, deliveries.get(event.id) ?? []),
    deliveries: deliveries.get(event.id) ?? [],
  }));
}

type DeliveryRow = Awaited<ReturnType<typeof deliveryRows>>[number];

function deliveryRows({ read }: Sql, conversationId: number) {
  return read
    .selectFrom("process_event_deliveries as d")
    .innerJoin("gateways as g", "g.id", "d.gateway_id")
    .innerJoin("process_events as e", "e.id", "d.event_id")
    .innerJoin("conversations as c", "c.id", "e.conversation_id")
    .selectAll("d")
    .select(["g.name as gateway", "c.thread_ts", "c.shard"])
    .where("e.conversation_id", "=", conversationId)
    .orderBy("d.event_id")
    .orderBy("g.name")
    .orderBy("d.target")
    .execute();
}

function toDelivery(
  row: DeliveryRow,
  failures: FailureRow[],
): Omit<DeliveryFacts, "isBehindEvent" | "holder"> {
  const isOfIt = (failure: FailureRow) =>
    failure.event_id === row.event_id && failure.gateway === row.gateway && failure.target === row.target;
  return {
    ...toDeliveryRecord(row),
    isToSubscriber: row.subscriber_id !== null,
    failures: failures.filter(isOfIt).map(toFailedAttempt),
  };
}

/** Of the same lane (gateway, target, thread), and not arrived yet. */
async function eventBefore({ read }: Sql, row: DeliveryRow): Promise<number | null> {
  if (row.status !== "pending") return null;
  const before = await read
    .selectFrom("process_event_deliveries as d")
    .innerJoin("process_events as e", "e.id", "d.event_id")
    .innerJoin("conversations as c", "c.id", "e.conversation_id")
    .select("d.event_id")
    // Written out, as the partial index of open deliveries has it.
    .where(sql<boolean>`d.status in ('pending', 'claimed')`)
    .where("d.event_id", "<", row.event_id)
    .where("d.gateway_id", "=", row.gateway_id)
    .where("d.target", "=", row.target)
    .where("c.thread_ts", "=", row.thread_ts)
    .orderBy("d.event_id")
    .limit(1)
    .executeTakeFirst();
  return before?.event_id ?? null;
}
