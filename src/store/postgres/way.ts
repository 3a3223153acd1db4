/**
 * The statement of a message's way on PostgreSQL: one batch is one statement, one round trip, one commit. Every
 * part of it names the epoch and does nothing when that is stale. The SQLite ones: ../sqlite/way.ts.
 */
import type { Change, NewDelivery, StoredEvent } from "../../core/store.ts";
import {
  ACCEPTANCES,
  type Acceptance,
  DELIVERIES,
  DELIVERY_CHANGES,
  EVENTS,
  FAILURES,
  HINTS,
  INBOX_CHANGES,
  INBOX_ENDS,
  isUsual,
  LISTS,
  type List,
  rowsOfBatch,
  USUAL_LISTS,
  unnest,
  WAKES,
} from "./way-lists.ts";

/** The channel on which a process says that it has written for others; see `wakeKeys`. */
export const WAKE_CHANNEL = "robson_wake";

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

/** How many of the newest messages that wait for their owner are looked at: some may be of a gateway nobody runs. */
const LOOKED_AT = 20;

const wayStatement = (also: (part: string) => string) => `with
lease as (select id from processes where id = $1 for key share),
accepted as (
  insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content,
    is_addressed, idempotency_key, created_at, shard)
  select message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content, is_addressed,
    idempotency_key, created_at, shard from ${unnest(ACCEPTANCES)}
  where exists (select from lease) order by position
  on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing
  returning id, message_id),
opened as (
  insert into inbox (conversation_id, status, attempts, is_unowned)
  select accepted.id, x.status, x.attempts, x.is_unowned from accepted join ${unnest(ACCEPTANCES)} using (message_id)),
${also(`changed as (
  update inbox set status = x.status, attempts = x.attempts, interruptions = x.interruptions,
    next_attempt_at = x.next_attempt_at, last_error = x.last_error,
    is_unowned = case when inbox.stopped_by is null or x.status = 'dead' then 0 else inbox.is_unowned end
  from ${unnest(INBOX_CHANGES)}, lease where inbox.conversation_id = x.id
    and (inbox.status <> 'dead' or x.status = 'dead')
    and (inbox.status <> 'waiting' or x.status in ('waiting', 'dead'))),`)}
closed as (delete from inbox using ${unnest(INBOX_ENDS)}, lease where inbox.conversation_id = x.id),
${also(`subscribed as materialized (
  select id, callback_url from subscribers
  where exists (select from lease) and exists (select from ${unnest(EVENTS)} where subscribers_gateway_id is not null)
  for key share),`)}
emitted as (
  insert into process_events (conversation_id, sequence, kind, content, worker, created_at)
  select conversation_id, sequence, kind, content, worker, created_at from ${unnest(EVENTS)} where exists (select from lease) order by position
  on conflict (conversation_id, sequence) do nothing
  returning id, conversation_id, sequence),
addressed as (
  insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts)
  select emitted.id, x.gateway_id, x.target, x.delivery_id, x.status, x.attempts from emitted
  join ${unnest(DELIVERIES)} using (conversation_id, sequence)),
${also(`broadcast as (
  insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts, subscriber_id)
  select emitted.id, x.subscribers_gateway_id, s.callback_url, gen_random_uuid()::text, 'pending', 0, s.id
  from emitted join ${unnest(EVENTS)} using (conversation_id, sequence) cross join subscribed s
  where x.subscribers_gateway_id is not null
  returning event_id, target, delivery_id, subscriber_id),`)}
attempted as materialized (
  select * from ${unnest(DELIVERY_CHANGES)} where exists (select from lease)),
delivered as (
  update process_event_deliveries d set status = a.status, attempts = a.attempts, interruptions = a.interruptions, next_retry_at = a.next_retry_at,
    last_error = a.last_error, delivered_at = a.delivered_at
  from attempted a where d.event_id = a.event_id and d.gateway_id = a.gateway_id and d.target = a.target
    and (d.status in ('pending', 'claimed') or a.status in (d.status, 'done'))
  returning a.position)${also(`,
failed as (
  insert into failed_attempts (conversation_id, event_id, gateway, target, worker, attempt, error, failed_at, next_at)
  select conversation_id, event_id, gateway, target, worker, attempt, error, failed_at, next_at
  from ${unnest(FAILURES)} where exists (select from lease) order by position),
hinted as (
  insert into hinted_threads (thread_key, hinted_at) select thread_key, hinted_at from ${unnest(HINTS)}
  where exists (select from lease) on conflict do nothing)`)}
select exists (select from lease) as is_owner,
  (select count(l.shard) > 0 or count(*) = ${LOOKED_AT} from (
     select conversation_id from inbox where is_unowned = 1 order by conversation_id desc limit ${LOOKED_AT}) i
   join conversations c on c.id = i.conversation_id
   left join shard_leases l on l.process_id = $1 and l.shard = c.shard and l.gateway_id = coalesce(c.gateway_id, 0)
  ) as has_unowned,
${also(`  (select pg_notify('${WAKE_CHANNEL}', keys) from (select string_agg(distinct gateway_id || ':' || shard, ',') as keys
    from ${unnest(WAKES)}) w where keys is not null and exists (select from lease)),`)}
  (select coalesce(array_agg(message_id order by id), '{}') from accepted) as message_ids,
  (select coalesce(array_agg(id order by id), '{}') from accepted) as conversation_ids,
  (select coalesce(array_agg(id order by id), '{}') from emitted) as event_ids,
  (select coalesce(array_agg(conversation_id order by id), '{}') from emitted) as event_conversations,
  (select coalesce(array_agg(sequence order by id), '{}') from emitted) as event_sequences,
${also(`  (select coalesce(array_agg(event_id order by event_id, subscriber_id), '{}') from broadcast) as broadcast_events,
  (select coalesce(array_agg(target order by event_id, subscriber_id), '{}') from broadcast) as broadcast_targets,
  (select coalesce(array_agg(delivery_id order by event_id, subscriber_id), '{}') from broadcast) as broadcast_ids,`)}
  (select coalesce(array_agg(position), '{}') from attempted
    where status <> 'done' and position not in (select position from delivered)) as closed_deliveries`;

export interface WayStatement {
  name: string;
  text: string;
  lists: readonly List[];
}

/** With all that a batch may bring. */
export const WAY_STATEMENT: WayStatement = {
  name: "robson_way",
  text: wayStatement((part) => part),
  lists: LISTS,
};

/** Of most batches: half the parts and parameters, whose planning and sending cost even where there are no rows. */
export const USUAL_STATEMENT: WayStatement = {
  name: "robson_usual_way",
  text: wayStatement(() => ""),
  lists: USUAL_LISTS,
};

/** Parameters: the gateway's row id or null, the idempotency key. */
export const CONVERSATION_BY_KEY = `select id from conversations
  where coalesce(gateway_id, 0) = coalesce($1::int8, 0) and idempotency_key = $2`;

/**
 * Parameters: the conversation's id, the sequence, the ids of its deliveries as they were to be stored. The same ones:
 * a former try at this very write has stored it.
 */
export const EVENT_BY_SEQUENCE = `select e.id, exists (select from process_event_deliveries d
    where d.event_id = e.id and d.delivery_id = any ($3::text[])) as is_same
  from process_events e where e.conversation_id = $1 and e.sequence = $2`;

/** What the statement answers: the rows it made; what it did not make was there before. */
export interface WayResult {
  is_owner: boolean;
  /** Others had stored messages before this batch that are perhaps for this process. */
  has_unowned: boolean;
  message_ids: string[];
  conversation_ids: number[];
  event_ids: number[];
  event_conversations: number[];
  event_sequences: number[];
  /** The deliveries that were made for subscribers, each with its event, in their order. */
  broadcast_events?: number[];
  broadcast_targets?: string[];
  broadcast_ids?: string[];
  /** Which of the batch's delivery changes, counted from 1, met one that someone else has closed. */
  closed_deliveries: number[];
}

/** The statement for a batch, and its parameters: the epoch, then one array for each column of each list. */
export function wayQuery(
  batch: WayOperation[],
  context: { epoch: number; idOf(gateway: string): number },
): { name: string; text: string; values: unknown[] } {
  const rows = rowsOfBatch(batch, context.idOf);
  const { name, text, lists } = isUsual(rows) ? USUAL_STATEMENT : WAY_STATEMENT;
  const arrays = lists.flatMap((list) =>
    list.columns.map(([, , value]) => rows.get(list)?.map((row) => value(row as never))),
  );
  return { name, text, values: [context.epoch, ...arrays] };
}

/** Which of the batch's messages and events are new, by what identifies them. */
export function readWayResult(result: WayResult) {
  const conversations = new Map(result.message_ids.map((id, index) => [id, result.conversation_ids[index]]));
  const events = new Map(
    result.event_ids.map((id, index) => [
      `${result.event_conversations[index]}/${result.event_sequences[index]}`,
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
  const closed = new Set(result.closed_deliveries);
  return {
    hasUnowned: result.has_unowned,
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
