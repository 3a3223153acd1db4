/**
 * A batch of operations of a message's way on PostgreSQL: the statement that writes it, with its parameters, and what
 * it answers. The SQLite ones: ../sqlite/way.ts.
 */
import type { Change, NewDelivery, StoredEvent } from "../../core/store.ts";
import { type Acceptance, rowsOfBatch } from "./way-lists.ts";
import { statementFor } from "./way-statement.ts";

export type WayOperation = { accept: Acceptance } | { change: Change };

/**
 * Names the rows that an operation writes. All parts of a statement see the tables as they were before it, so
 * that two operations on one row need two statements.
 */
export function rowsOf(operation: WayOperation): string[] {
  if ("accept" in operation) return [`message ${operation.accept.message.id}`];
  const { message, events = [], delivery } = operation.change;
  const rows = events.map(({ conversationId, sequence }) => `event ${conversationId} ${sequence}`);
  if (message) rows.push(`inbox ${message.conversationId}`);
  if (delivery) rows.push(`delivery ${delivery.eventId} ${delivery.gateway} ${delivery.target}`);
  return rows;
}

/**
 * Parameters: the conversation's id, the sequence, the ids of its deliveries as they were to be stored. The same ones:
 * a former try at this very write has stored it.
 */
export const EVENT_BY_SEQUENCE = `select e.id, exists (select from process_event_deliveries d
    where d.event_id = e.id and d.delivery_id = any ($3::text[])) as is_same
  from process_events e where e.conversation_id = $1 and e.sequence = $2`;

/**
 * What the statement answers: the rows it made; what it did not make was there before. Of the lists that the statement
 * does not have, nothing.
 */
export interface WayResult {
  is_owner: boolean;
  /** Others had stored messages before this batch that are perhaps for this process. */
  has_unowned?: boolean;
  message_ids?: string[];
  conversation_ids?: number[];
  event_ids?: number[];
  event_conversations?: number[];
  event_sequences?: number[];
  /** The deliveries that were made for subscribers, each with its event, in their order. */
  broadcast_events?: number[];
  broadcast_targets?: string[];
  broadcast_ids?: string[];
  /** Which of the batch's delivery changes, counted from 1, met one that someone else has closed. */
  closed_deliveries?: number[];
}

/** The statement for a batch, and its parameters: the epoch, then one array for each column of each list. */
export function wayQuery(
  batch: WayOperation[],
  context: { epoch: number; idOf(gateway: string): number },
): { name: string; text: string; values: unknown[] } {
  const rows = rowsOfBatch(batch, context.idOf);
  const { name, text, lists } = statementFor([...rows.keys()]);
  const arrays = lists.flatMap((list) =>
    list.columns.map(([, , value]) => (rows.get(list) ?? []).map((row) => value(row as never))),
  );
  return { name, text, values: [context.epoch, ...arrays] };
}

/** Which of the batch's messages and events are new, by what identifies them. */
export function readWayResult(result: WayResult) {
  const conversations = new Map(
    (result.message_ids ?? []).map((id, index) => [id, result.conversation_ids?.[index]]),
  );
  const events = new Map(
    (result.event_ids ?? []).map((id, index) => [
      `${result.event_conversations?.[index]}/${result.event_sequences?.[index]}`,
      id,
    ]),
  );
  const toSubscribers = Map.groupBy(
    (result.broadcast_events ?? []).map((eventId, index) => ({
      eventId,
      target: result.broadcast_targets?.[index] ?? "",
      deliveryId: result.broadcast_ids?.[index] ?? "",
    })),
    ({ eventId }) => eventId,
  );
  const storedEvent = (eventId: number, gateway: string | undefined): StoredEvent => {
    if (gateway === undefined) return { eventId, isNew: true };
    const made = (toSubscribers.get(eventId) ?? []).map(
      ({ target, deliveryId }): NewDelivery => ({
        gateway,
        target,
        deliveryId,
        status: "pending",
        attempts: 0,
      }),
    );
    return { eventId, isNew: true, toSubscribers: made };
  };
  const closed = new Set(result.closed_deliveries ?? []);
  return {
    hasUnowned: result.has_unowned ?? false,
    /** Of the n-th change of a delivery in the batch, counted from 1. */
    isClosed: (position: number): boolean => closed.has(position),
    conversationOf: (messageId: string): number | undefined => conversations.get(messageId),
    eventsOf: ({ events: wanted = [] }: Change): (StoredEvent | undefined)[] =>
      wanted.map(({ conversationId, sequence, subscribersOf }) => {
        const eventId = events.get(`${conversationId}/${sequence}`);
        return eventId === undefined ? undefined : storedEvent(eventId, subscribersOf);
      }),
  };
}
