/** Rows of both databases as the objects that core knows. Both hand over integers as numbers. */
import type { EventKind } from "../core/process-event.ts";
import type { RunReference } from "../core/run-store.ts";
import type {
  DeliveryRecord,
  MessageStatus,
  NewMessage,
  Status,
  StoredDelivery,
  StoredMessage,
} from "../core/store.ts";
import type { ConversationsTable, DeliveriesTable } from "./schema.ts";

/** A conversation joined with its gateway and, where it is not done, its inbox row. */
export interface MessageRow extends Omit<ConversationsTable, "id" | "shard"> {
  id: number;
  gateway: string | null;
  status: string | null;
  attempts: number | null;
  interruptions: number | null;
  next_attempt_at: number | null;
  last_error: string | null;
  stopped_by: string | null;
  round: number | null;
  /** In a page of the open work. */
  is_to_be_taken?: number;
  run_worker: string | null;
  run_version: number | null;
  run_is_detached: number | null;
  run_round: number | null;
  run_ended_at: number | null;
}

/** The columns of a message's run, `r` in a join. */
export const RUN_SELECTION = [
  "r.worker as run_worker",
  "r.version as run_version",
  "r.is_detached as run_is_detached",
  "r.round as run_round",
  "r.ended_at as run_ended_at",
] as const;
export const RUN_COLUMNS = RUN_SELECTION.join(", ");

/** A delivery joined with its gateway, its event and the event's conversation. */
export interface DeliveryRow extends Omit<DeliveriesTable, "round"> {
  round: number;
  gateway: string;
  kind: string;
  content: string;
  created_at: number;
  conversation_id: number;
  gateway_channel_id: string;
  thread_ts: string;
  user_id: string;
  origin_gateway: string | null;
}

export function toStoredMessage(row: MessageRow): StoredMessage {
  return {
    conversationId: row.id,
    id: row.message_id,
    gateway: row.gateway,
    channelId: row.gateway_channel_id,
    threadTs: row.thread_ts,
    userId: row.user_id,
    role: row.role as NewMessage["role"],
    content: row.content,
    isAddressed: row.is_addressed === 1,
    idempotencyKey: row.idempotency_key,
    createdAt: row.created_at,
    // No inbox row: nothing is left to be done.
    status: (row.status ?? "done") as MessageStatus,
    attempts: row.attempts ?? 0,
    interruptions: row.interruptions ?? 0,
    nextAttemptAt: row.next_attempt_at,
    lastError: row.last_error,
    stoppedBy: row.stopped_by,
    round: row.round ?? 0,
    ...(row.is_to_be_taken === 1 ? { isUnowned: true } : {}),
    ...(row.run_worker === null ? {} : { run: toRunReference(row, row.run_worker) }),
  };
}

function toRunReference(row: MessageRow, worker: string): RunReference {
  return {
    worker,
    isDetached: row.run_is_detached === 1,
    isOpen: row.run_ended_at === null,
    round: row.run_round ?? 1,
    version: row.run_version ?? 1,
  };
}

/** How a delivery stands. */
export function toDeliveryRecord(row: Omit<DeliveriesTable, "round"> & { gateway: string }): DeliveryRecord {
  return {
    eventId: row.event_id,
    gateway: row.gateway,
    target: row.target,
    deliveryId: row.delivery_id,
    status: row.status as Status,
    attempts: row.attempts,
    interruptions: row.interruptions,
    nextRetryAt: row.next_retry_at,
    lastError: row.last_error,
    deliveredAt: row.delivered_at,
  };
}

/**
 * When the last of an event's targets had it; null while one is open, and where none got it. An event for nobody
 * is read by the asker himself: it is delivered by being there. Kept nowhere: it would be a second write to a row
 * that is full of text, for every event.
 */
export function deliveredAtOf(
  { createdAt }: { createdAt: number },
  deliveries: Pick<DeliveryRecord, "status" | "deliveredAt">[],
): number | null {
  if (deliveries.length === 0) return createdAt;
  if (deliveries.some(({ status }) => status !== "done")) return null;
  const instants = deliveries.flatMap(({ deliveredAt }) => deliveredAt ?? []);
  return instants.length === 0 ? null : Math.max(...instants);
}

export function toStoredDelivery(row: DeliveryRow): StoredDelivery {
  return {
    ...toDeliveryRecord(row),
    round: row.round,
    kind: row.kind as EventKind,
    content: row.content,
    createdAt: row.created_at,
    conversationId: row.conversation_id,
    originGateway: row.origin_gateway,
    channelId: row.gateway_channel_id,
    threadTs: row.thread_ts,
    userId: row.user_id,
  };
}

/** A message's columns in `conversations`, in the order in which both databases insert them. */
export function conversationValues(
  message: NewMessage,
  { gatewayId, shard }: { gatewayId: number | null; shard: number },
) {
  return [
    message.id,
    gatewayId,
    message.channelId,
    message.threadTs,
    message.userId,
    message.role,
    message.content,
    message.isAddressed ? 1 : 0,
    message.idempotencyKey,
    message.createdAt,
    shard,
  ];
}
