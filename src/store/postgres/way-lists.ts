/**
 * The rows that a batch brings, as lists of columns: each list is one `unnest` of the statement in way.ts, each
 * column one array parameter. The order of `LISTS` gives the parameters their numbers; $1 is the epoch.
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

/** The row id of the gateway through which the event goes to subscribers, if it does. */
type EventRow = NewEvent & { subscribersGatewayId: number | null };

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
]);

export const INBOX_ENDS = list<MessageChange>([["id", "int8", ({ conversationId }) => conversationId]]);

export const EVENTS = list<EventRow>([
  ["conversation_id", "int8", ({ conversationId }) => conversationId],
  ["sequence", "int8", ({ sequence }) => sequence],
  ["kind", "text", ({ kind }) => kind],
  ["content", "text", ({ content }) => content],
  ["worker", "text", ({ worker }) => worker],
  ["created_at", "int8", ({ createdAt }) => createdAt],
  ["subscribers_gateway_id", "int8", ({ subscribersGatewayId }) => subscribersGatewayId],
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

/** Shards whose owner has to look. */
export const WAKES = list<{ gatewayId: number; shard: number }>([
  ["gateway_id", "int8", ({ gatewayId }) => gatewayId],
  ["shard", "int2", ({ shard }) => shard],
]);

/** What a message's way brings when nothing goes wrong. */
export const USUAL_LISTS: readonly List[] = [ACCEPTANCES, INBOX_ENDS, EVENTS, DELIVERIES, DELIVERY_CHANGES];

export const LISTS: readonly List[] = [...USUAL_LISTS, INBOX_CHANGES, FAILURES, HINTS, WAKES];

/** `unnest(…) with ordinality as x (…, position)` over the list's parameters. */
export function unnest(list: List): string {
  const before = LISTS.slice(0, LISTS.indexOf(list)).reduce((sum, { columns }) => sum + columns.length, 0);
  const parameters = list.columns.map(([, type], index) => `$${before + index + 2}::${type}[]`);
  const names = list.columns.map(([name]) => name);
  return `unnest(${parameters.join(", ")}) with ordinality as x (${names.join(", ")}, position)`;
}

/** The rows of each list, in the order of the batch. */
export function rowsOfBatch(batch: WayOperation[], idOf: (gateway: string) => number): Map<List, unknown[]> {
  const rows = new Map<List, unknown[]>(LISTS.map((each) => [each, []]));
  const add = (to: List, row: unknown) => rows.get(to)?.push(row);
  for (const operation of batch) {
    if ("accept" in operation) {
      const { gatewayId, placement } = operation.accept;
      add(ACCEPTANCES, operation.accept);
      if (isForOther(placement)) add(WAKES, { gatewayId: gatewayId ?? NO_GATEWAY, shard: placement.shard });
      continue;
    }
    const { message, events = [], delivery, failure, hint, wakes = [] } = operation.change;
    if (message) add(message.status === "done" ? INBOX_ENDS : INBOX_CHANGES, message);
    for (const event of events) {
      const { subscribersOf } = event;
      const subscribersGatewayId = subscribersOf === undefined ? null : idOf(subscribersOf);
      add(EVENTS, { ...event, subscribersGatewayId });
      for (const each of event.deliveries)
        add(DELIVERIES, { event, delivery: each, gatewayId: idOf(each.gateway) });
    }
    if (delivery) add(DELIVERY_CHANGES, { ...delivery, gatewayId: idOf(delivery.gateway) });
    if (failure) add(FAILURES, failure);
    if (hint) add(HINTS, hint);
    for (const { gateway, shard } of wakes)
      add(WAKES, { gatewayId: gateway === null ? NO_GATEWAY : idOf(gateway), shard });
  }
  return rows;
}

/** Whether the usual lists hold all that a batch brings, and none of its events goes to subscribers. */
export function isUsual(rows: Map<List, unknown[]>): boolean {
  const isEmpty = (list: List) => USUAL_LISTS.includes(list) || rows.get(list)?.length === 0;
  const events = rows.get(EVENTS) as EventRow[];
  return LISTS.every(isEmpty) && events.every(({ subscribersGatewayId }) => subscribersGatewayId === null);
}

function isForOther(placement: Placement): boolean {
  return "isForOther" in placement && placement.isForOther === true;
}

function list<Row>(columns: readonly (readonly [string, Column[1], (row: Row) => unknown])[]): List {
  return { columns };
}
