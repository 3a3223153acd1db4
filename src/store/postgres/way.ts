/**
 * The statement of a message's way on PostgreSQL: one batch is one statement, one round trip, one commit. Every
 * part of it names the epoch and does nothing when that is stale. The SQLite ones: ../sqlite/way.ts.
 */
import type { Change, NewMessage, StoredEvent } from "../../core/store.ts";

/** One message to accept, with how its inbox row begins. */
export interface Acceptance {
  message: NewMessage;
  gatewayId: number | null;
  status: string;
  attempts: number;
}

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

export const WAY_STATEMENT = `with
lease as (select epoch from leases where name = 'loop' and epoch = $1 for share),
accepted as (
  insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content,
    is_addressed, idempotency_key, created_at)
  select message_id, gateway_id, channel_id, thread_ts, user_id, role, content, is_addressed, key, created_at
  from unnest($2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int2[],
    $10::text[], $11::int8[]) with ordinality as x (message_id, gateway_id, channel_id, thread_ts, user_id, role,
    content, is_addressed, key, created_at, position)
  where exists (select from lease) order by position  on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing
  returning id, message_id),
opened as (
  insert into inbox (conversation_id, status, attempts, is_unowned)
  select accepted.id, x.status, x.attempts, 0 from accepted
  join unnest($2::text[], $12::text[], $13::int4[]) as x (message_id, status, attempts) using (message_id)),
changed as (
  update inbox set status = x.status, attempts = x.attempts, next_attempt_at = x.next_attempt_at,
    last_error = x.last_error, is_unowned = 0
  from unnest($14::int8[], $15::text[], $16::int4[], $17::int8[], $18::text[])
    as x (id, status, attempts, next_attempt_at, last_error), lease
  where inbox.conversation_id = x.id),
closed as (delete from inbox using lease where conversation_id = any ($19::int8[])),
emitted as (
  insert into process_events (conversation_id, sequence, kind, content, created_at, delivered_at)
  select conversation_id, sequence, kind, content, created_at, delivered_at
  from unnest($20::int8[], $21::int8[], $22::text[], $23::text[], $24::int8[], $25::int8[])
    with ordinality as x (conversation_id, sequence, kind, content, created_at, delivered_at, position)
  where exists (select from lease) order by position
  on conflict (conversation_id, sequence) do nothing
  returning id, conversation_id, sequence),
addressed as (
  insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts)
  select emitted.id, x.gateway_id, x.target, x.delivery_id, x.status, x.attempts from emitted
  join unnest($26::int8[], $27::int8[], $28::int8[], $29::text[], $30::text[], $31::text[], $32::int4[])
    as x (conversation_id, sequence, gateway_id, target, delivery_id, status, attempts)
    using (conversation_id, sequence)),
attempted as materialized (
  select * from unnest($33::int8[], $34::int8[], $35::text[], $36::text[], $37::int4[], $38::int8[], $39::text[],
    $40::int8[]) as x (event_id, gateway_id, target, status, attempts, next_retry_at, last_error, delivered_at)
  where exists (select from lease)),
delivered as (
  update process_event_deliveries d set status = a.status, attempts = a.attempts, next_retry_at = a.next_retry_at,
    last_error = a.last_error, delivered_at = a.delivered_at
  from attempted a where d.event_id = a.event_id and d.gateway_id = a.gateway_id and d.target = a.target),
stamped as (  update process_events e set delivered_at = a.delivered_at
  from (select event_id, max(delivered_at) as delivered_at from attempted where delivered_at is not null
    group by event_id) a
  where e.id = a.event_id and not exists (select from process_event_deliveries d where d.event_id = e.id and d.status <> 'done'
      and (d.event_id, d.gateway_id, d.target) not in
        (select event_id, gateway_id, target from attempted where status = 'done')))
select exists (select from lease) as is_owner,
  (select coalesce(array_agg(message_id order by id), '{}') from accepted) as message_ids,
  (select coalesce(array_agg(id order by id), '{}') from accepted) as conversation_ids,
  (select coalesce(array_agg(id order by id), '{}') from emitted) as event_ids,
  (select coalesce(array_agg(conversation_id order by id), '{}') from emitted) as event_conversations,
  (select coalesce(array_agg(sequence order by id), '{}') from emitted) as event_sequences`;

/** Parameters: the gateway's row id or null, the idempotency key. */
export const CONVERSATION_BY_KEY = `select id from conversations
  where coalesce(gateway_id, 0) = coalesce($1::int8, 0) and idempotency_key = $2`;

/** Parameters: the conversation's id, the sequence. */
export const EVENT_BY_SEQUENCE = "select id from process_events where conversation_id = $1 and sequence = $2";

/** What the statement answers: the rows it made; what it did not make was there before. */
export interface WayResult {
  is_owner: boolean;
  message_ids: string[];
  conversation_ids: number[];
  event_ids: number[];
  event_conversations: number[];
  event_sequences: number[];
}

/** The statement's parameters for a batch: one array for each column. */
export function wayParameters(
  batch: WayOperation[],
  context: { epoch: number; idOf(gateway: string): number },
) {
  const accepts = batch.flatMap((operation) => ("accept" in operation ? [operation.accept] : []));
  const changes = batch.flatMap((operation) => ("change" in operation ? [operation.change] : []));
  const messages = changes.flatMap(({ message }) => message ?? []);
  const kept = messages.filter(({ status }) => status !== "done");
  const events = changes.flatMap(({ events }) => events ?? []);
  const deliveries = events.flatMap((event) => event.deliveries.map((delivery) => ({ event, delivery })));
  const attempts = changes.flatMap(({ delivery }) => delivery ?? []);
  return [
    context.epoch,
    accepts.map(({ message }) => message.id),
    accepts.map(({ gatewayId }) => gatewayId),
    accepts.map(({ message }) => message.channelId),
    accepts.map(({ message }) => message.threadTs),
    accepts.map(({ message }) => message.userId),
    accepts.map(({ message }) => message.role),
    accepts.map(({ message }) => message.content),
    accepts.map(({ message }) => (message.isAddressed ? 1 : 0)),
    accepts.map(({ message }) => message.idempotencyKey),
    accepts.map(({ message }) => message.createdAt),
    accepts.map(({ status }) => status),
    accepts.map(({ attempts }) => attempts),
    kept.map(({ conversationId }) => conversationId),
    kept.map(({ status }) => status),
    kept.map(({ attempts }) => attempts),
    kept.map(({ nextAttemptAt }) => nextAttemptAt),
    kept.map(({ lastError }) => lastError),
    messages.flatMap(({ status, conversationId }) => (status === "done" ? [conversationId] : [])),
    events.map(({ conversationId }) => conversationId),
    events.map(({ sequence }) => sequence),
    events.map(({ kind }) => kind),
    events.map(({ content }) => content),
    events.map(({ createdAt }) => createdAt),
    // An event for nobody is read by the asker himself: it is delivered by being there.
    events.map(({ deliveries, createdAt }) => (deliveries.length === 0 ? createdAt : null)),
    deliveries.map(({ event }) => event.conversationId),
    deliveries.map(({ event }) => event.sequence),
    deliveries.map(({ delivery }) => context.idOf(delivery.gateway)),
    deliveries.map(({ delivery }) => delivery.target),
    deliveries.map(({ delivery }) => delivery.deliveryId),
    deliveries.map(({ delivery }) => delivery.status),
    deliveries.map(({ delivery }) => delivery.attempts),
    attempts.map(({ eventId }) => eventId),
    attempts.map(({ gateway }) => context.idOf(gateway)),
    attempts.map(({ target }) => target),
    attempts.map(({ status }) => status),
    attempts.map(({ attempts }) => attempts),
    attempts.map(({ nextRetryAt }) => nextRetryAt),
    attempts.map(({ lastError }) => lastError),
    attempts.map(({ deliveredAt }) => deliveredAt),
  ];
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
  return {
    conversationOf: (messageId: string): number | undefined => conversations.get(messageId),
    eventsOf: ({ events: wanted = [] }: Change): (StoredEvent | undefined)[] =>
      wanted.map(({ conversationId, sequence }) => {
        const eventId = events.get(`${conversationId}/${sequence}`);
        return eventId === undefined ? undefined : { eventId, isNew: true };
      }),
  };
}
