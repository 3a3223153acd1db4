/**
 * The rows that a batch brings, as lists of columns: each list is one `unnest` of a statement in way-statement.ts, each
 * column one array parameter.
 */
import type {
  Change,
  MessageChange,
  NewDelivery,
  NewEvent,
  NewFailure,
  NewMessage,
  Placement,
} from "../../core/store.ts";
import { callOf } from "./wake-calls.ts";
import type { WayOperation } from "./way.ts";

/** One message to accept, with how its inbox row begins. */
export interface Acceptance {
  message: NewMessage;
  gatewayId: number | null;
  placement: Placement;
}

/** Stands for "no gateway" where a lease is named by gateway and shard. */
export const NO_GATEWAY = 0;

/** Each list has rows of its own kind; `rowsOfBatch` alone puts rows and lists together. */
type Column = readonly [
  name: string,
  type: "text" | "int2" | "int4" | "int8",
  value: (row: never) => unknown,
];

export interface List {
  columns: readonly Column[];
}

interface DeliveryRow {
  event: NewEvent;
  delivery: NewDelivery;
  gatewayId: number;
}

/** An event that goes to all subscribers, through that gateway. */
interface SubscriptionRow {
  event: NewEvent;
  gatewayId: number;
}

type DeliveryChangeRow = NonNullable<Change["delivery"]> & { gatewayId: number };

export const ACCEPTANCES = list<Acceptance>([
  ["message_id", "text", ({ message }) => message.id],
  ["gateway_id", "int8", ({ gatewayId }) => gatewayId],
  ["gateway_channel_id", "text", ({ message }) => message.channelId],
  ["thread_ts", "text", ({ message }) => message.threadTs],
  ["user_id", "text", ({ message }) => message.userId],
  ["role", "text", ({ message }) => message.role],
  ["content", "text", ({ message }) => message.content],
  ["is_addressed", "int2", ({ message }) => (message.isAddressed ? 1 : 0)],
  ["idempotency_key", "text", ({ message }) => message.idempotencyKey],
  ["created_at", "int8", ({ message }) => message.createdAt],
  ["shard", "int2", ({ placement }) => placement.shard],
  ["status", "text", ({ placement }) => placement.status],
  ["attempts", "int4", ({ placement }) => placement.attempts],
  ["is_unowned", "int2", ({ placement }) => (isForOther(placement) ? 1 : 0)],
]);

export const INBOX_CHANGES = list<MessageChange>([
  ["id", "int8", ({ conversationId }) => conversationId],
  ["status", "text", ({ status }) => status],
  ["attempts", "int4", ({ attempts }) => attempts],
  ["interruptions", "int4", ({ interruptions }) => interruptions],
  ["next_attempt_at", "int8", ({ nextAttemptAt }) => nextAttemptAt],
  ["last_error", "text", ({ lastError }) => lastError],
  ["round", "int4", ({ round = 0 }) => round],
]);

export const INBOX_ENDS = list<MessageChange>([
  ["id", "int8", ({ conversationId }) => conversationId],
  ["round", "int4", ({ round = 0 }) => round],
]);

export const EVENTS = list<NewEvent>([
  ["conversation_id", "int8", ({ conversationId }) => conversationId],
  ["sequence", "int8", ({ sequence }) => sequence],
  ["kind", "text", ({ kind }) => kind],
  ["content", "text", ({ content }) => content],
  ["worker", "text", ({ worker }) => worker],
  ["created_at", "int8", ({ createdAt }) => createdAt],
]);

export const SUBSCRIPTIONS = list<SubscriptionRow>([
  ["conversation_id", "int8", ({ event }) => event.conversationId],
  ["sequence", "int8", ({ event }) => event.sequence],
  ["gateway_id", "int8", ({ gatewayId }) => gatewayId],
]);

export const DELIVERIES = list<DeliveryRow>([
  ["conversation_id", "int8", ({ event }) => event.conversationId],
  ["sequence", "int8", ({ event }) => event.sequence],
  ["gateway_id", "int8", ({ gatewayId }) => gatewayId],
  ["target", "text", ({ delivery }) => delivery.target],
  ["delivery_id", "text", ({ delivery }) => delivery.deliveryId],
  ["status", "text", ({ delivery }) => delivery.status],
  ["attempts", "int4", ({ delivery }) => delivery.attempts],
]);

export const DELIVERY_CHANGES = list<DeliveryChangeRow>([
  ["event_id", "int8", ({ eventId }) => eventId],
  ["gateway_id", "int8", ({ gatewayId }) => gatewayId],
  ["target", "text", ({ target }) => target],
  ["status", "text", ({ status }) => status],
  ["attempts", "int4", ({ attempts }) => attempts],
  ["interruptions", "int4", ({ interruptions }) => interruptions],
  ["next_retry_at", "int8", ({ nextRetryAt }) => nextRetryAt],
  ["last_error", "text", ({ lastError }) => lastError],
  ["delivered_at", "int8", ({ deliveredAt }) => deliveredAt],
  ["round", "int4", ({ round = 0 }) => round],
]);

export const FAILURES = list<NewFailure>([
  ["conversation_id", "int8", ({ conversationId }) => conversationId],
  ["event_id", "int8", ({ eventId }) => eventId],
  ["gateway", "text", ({ gateway }) => gateway],
  ["target", "text", ({ target }) => target],
  ["worker", "text", ({ worker }) => worker],
  ["attempt", "int4", ({ attempt }) => attempt],
  ["error", "text", ({ error }) => error],
  ["failed_at", "int8", ({ failedAt }) => failedAt],
  ["next_at", "int8", ({ nextAt }) => nextAt],
]);

export const HINTS = list<NonNullable<Change["hint"]>>([
  ["thread_key", "text", ({ threadKey }) => threadKey],
  ["hinted_at", "int8", ({ hintedAt }) => hintedAt],
]);

/** The rows of each list that has any, in the order of the batch. */
export function rowsOfBatch(batch: WayOperation[], idOf: (gateway: string) => number): Map<List, unknown[]> {
  const rows = new Map<List, unknown[]>();
  const add = (to: List, row: unknown) => {
    const known = rows.get(to);
    if (known) known.push(row);
    else rows.set(to, [row]);
  };
  for (const operation of batch) {
    if ("accept" in operation) {
      add(ACCEPTANCES, operation.accept);
      continue;
    }
    const { message, events = [], delivery, failure, hint } = operation.change;
    if (message) add(message.status === "done" ? INBOX_ENDS : INBOX_CHANGES, message);
    for (const event of events) {
      add(EVENTS, event);
      if (event.subscribersOf !== undefined)
        add(SUBSCRIPTIONS, { event, gatewayId: idOf(event.subscribersOf) });
      for (const each of event.deliveries)
        add(DELIVERIES, { event, delivery: each, gatewayId: idOf(each.gateway) });
    }
    if (delivery) add(DELIVERY_CHANGES, { ...delivery, gatewayId: idOf(delivery.gateway) });
    if (failure) add(FAILURES, failure);
    if (hint) add(HINTS, hint);
  }
  return rows;
}

/** The shards of other processes that an operation has written for. */
export function callsOf(operation: WayOperation, idOf: (gateway: string) => number): string[] {
  if ("change" in operation)
    return (operation.change.wakes ?? []).map(({ gateway, shard }) =>
      callOf({ gatewayId: gateway === null ? NO_GATEWAY : idOf(gateway), shard, isForMessagesAlone: false }),
    );
  const { gatewayId, placement } = operation.accept;
  if (!isForOther(placement)) return [];
  return [callOf({ gatewayId: gatewayId ?? NO_GATEWAY, shard: placement.shard, isForMessagesAlone: true })];
}

/** Whether another process has to take it. */
export function isForOther(placement: Placement): boolean {
  return "isForOther" in placement && placement.isForOther === true;
}

function list<Row>(columns: readonly (readonly [string, Column[1], (row: Row) => unknown])[]): List {
  return { columns };
}
