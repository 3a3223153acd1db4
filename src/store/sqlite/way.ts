/** The statements of a message's way on SQLite, prepared once. The PostgreSQL ones: ../postgres/way.ts. */
import { randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { RunChange } from "../../core/run-store.ts";
import type {
  AcceptedByOwner,
  Change,
  DeliveryChange,
  MessageChange,
  NewDelivery,
  NewEvent,
  NewFailure,
  NewMessage,
  Page,
  Placement,
  StopRequest,
  StoredDelivery,
  StoredEvent,
  StoredMessage,
  UnregisteredWork,
} from "../../core/store.ts";
import { deliveryClosed } from "../owner-errors.ts";
import {
  conversationValues,
  type DeliveryRow,
  type MessageRow,
  RUN_COLUMNS,
  toStoredDelivery,
  toStoredMessage,
} from "../rows.ts";
import { writeRun } from "../run-changes.ts";
import { endRunsOfTheDead, hasRunSince } from "../run-ends.ts";

/** What the statements need to know of the gateways: their row ids, by name. */
export interface GatewayIds {
  idOf(name: string): number;
}

type DeliveryToStore = NewDelivery & { subscriberId?: number };

/**
 * Everything that happens to messages and deliveries, each as one synchronous call inside a transaction. What nobody
 * wants to know the outcome of is written by `get`, which makes no object of it.
 */
export class Way {
  readonly #statements: ReturnType<typeof prepareMessageWrites> & ReturnType<typeof prepareEventWrites>;
  readonly #db: DatabaseSync;
  readonly #gateways: GatewayIds;

  constructor(db: DatabaseSync, gateways: GatewayIds) {
    this.#db = db;
    this.#statements = { ...prepareMessageWrites(db), ...prepareEventWrites(db) };
    this.#gateways = gateways;
  }

  accept(message: NewMessage, at: Placement & { isUnowned: boolean }): Omit<AcceptedByOwner, "hasUnowned"> {
    const { insertConversation, conversationByKey, insertInbox, wantTaken } = this.#statements;
    const gatewayId = message.gateway === null ? null : this.#gateways.idOf(message.gateway);
    const { changes, lastInsertRowid } = insertConversation.run(
      ...conversationValues(message, { gatewayId, shard: at.shard }),
    );
    if (changes === 0) {
      const known = conversationByKey.get(gatewayId, message.idempotencyKey);
      const isWithOwner = known?.is_with_owner === 1;
      if (isWithOwner && at.isUnowned) wantTaken.run(Number(known.id));
      return { conversationId: Number(known?.id), isDuplicate: true, isWithOwner };
    }
    insertInbox.get(lastInsertRowid, at.status, at.attempts, at.isUnowned ? 1 : 0);
    return { conversationId: Number(lastInsertRowid), isDuplicate: false };
  }

  record(change: Change): StoredEvent[] {
    if (change.message) this.#changeMessage(change.message);
    if (change.run) this.#changeRun(change.run);
    if (change.delivery) this.#changeDelivery(change.delivery);
    if (change.failure) this.#keepFailure(change.failure);
    if (change.hint) this.#statements.insertHint.run(change.hint.threadKey, change.hint.hintedAt);
    return (change.events ?? []).map((event) => this.#storeEvent(event));
  }

  #changeMessage(change: MessageChange): void {
    const { conversationId, status, attempts, interruptions, nextAttemptAt, lastError, round = 0 } = change;
    const { deleteInbox, updateInbox } = this.#statements;
    if (status === "done") deleteInbox.get(conversationId, round);
    else updateInbox.get(status, attempts, interruptions, nextAttemptAt, lastError, conversationId, round);
  }

  #changeRun(change: RunChange): void {
    const statements = writeRun(change);
    let next = statements.next();
    while (!next.done) {
      const { text, values, isForPostgres } = next.value;
      const rows = isForPostgres ? [] : this.#db.prepare(text.replaceAll("$", "?")).all(...values);
      next = statements.next(rows);
    }
  }

  #keepFailure(failure: NewFailure): void {
    const { conversationId, eventId, gateway, target, worker, attempt, error, failedAt, nextAt } = failure;
    const { insertFailure } = this.#statements;
    insertFailure.run(conversationId, eventId, gateway, target, worker, attempt, error, failedAt, nextAt);
  }

  #storeEvent(event: NewEvent): StoredEvent {
    const { conversationId, sequence, kind, content, worker, createdAt, subscribersOf } = event;
    const { insertEvent, eventBySequence, insertDelivery } = this.#statements;
    const toSubscribers = subscribersOf === undefined ? [] : this.#newToSubscribers(subscribersOf);
    const deliveries: DeliveryToStore[] = [...event.deliveries, ...toSubscribers];
    const { changes, lastInsertRowid } = insertEvent.run(
      conversationId,
      sequence,
      kind,
      content,
      worker,
      createdAt,
    );
    if (changes === 0) {
      // With the same delivery, a former try at this very write has stored it.
      const known = eventBySequence.get(event.deliveries[0]?.deliveryId ?? null, conversationId, sequence);
      return { eventId: Number(known?.id), isNew: known?.is_same === 1 };
    }
    for (const { gateway, target, deliveryId, status, attempts, subscriberId = null } of deliveries) {
      const gatewayId = this.#gateways.idOf(gateway);
      insertDelivery.get(lastInsertRowid, gatewayId, target, deliveryId, status, attempts, subscriberId);
    }
    const stored = { eventId: Number(lastInsertRowid), isNew: true };
    return subscribersOf === undefined ? stored : { ...stored, toSubscribers };
  }

  #newToSubscribers(gateway: string): DeliveryToStore[] {
    return this.#statements.subscribers.all().map(({ id, callback_url }) => ({
      gateway,
      target: String(callback_url),
      deliveryId: randomUUID(),
      status: "pending",
      attempts: 0,
      subscriberId: Number(id),
    }));
  }

  #changeDelivery(change: DeliveryChange): void {
    const { eventId, gateway, target, status, attempts, interruptions, nextRetryAt } = change;
    const { lastError, deliveredAt, round = 0 } = change;
    const { updateDelivery } = this.#statements;
    const gatewayId = this.#gateways.idOf(gateway);
    const { changes } = updateDelivery.run(
      status,
      attempts,
      interruptions,
      nextRetryAt,
      lastError,
      deliveredAt,
      eventId,
      gatewayId,
      target,
      round,
    );
    if (changes === 0 && status !== "done") throw deliveryClosed();
  }
}

function prepareMessageWrites(db: DatabaseSync) {
  return {
    insertConversation:
      db.prepare(`insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts,
      user_id, role, content, is_addressed, idempotency_key, created_at, shard)
      values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing`),
    conversationByKey: db.prepare(
      `select c.id, i.status in ('pending', 'claimed') and i.is_unowned = 0 as is_with_owner
      from conversations c left join inbox i on i.conversation_id = c.id
      where coalesce(c.gateway_id, 0) = coalesce(?, 0) and c.idempotency_key = ?`,
    ),
    wantTaken: db.prepare("update inbox set is_unowned = 1 where conversation_id = ?"),
    insertInbox: db.prepare(
      "insert into inbox (conversation_id, status, attempts, is_unowned) values (?, ?, ?, ?)",
    ),
    updateInbox:
      db.prepare(`update inbox set status = ?1, attempts = ?2, interruptions = ?3, next_attempt_at = ?4, last_error = ?5,
      is_unowned = case when stopped_by is null or ?1 = 'dead' then 0 else is_unowned end
      where conversation_id = ?6 and round = ?7 and (status not in ('dead', 'done') or ?1 = status)
        and (status <> 'waiting' or ?1 in ('waiting', 'dead'))`),
    deleteInbox: db.prepare("delete from inbox where conversation_id = ? and round = ?"),
  };
}

function prepareEventWrites(db: DatabaseSync) {
  return {
    insertEvent: db.prepare(`insert into process_events (conversation_id, sequence, kind, content, worker,
      created_at) values (?, ?, ?, ?, ?, ?) on conflict (conversation_id, sequence) do nothing`),
    eventBySequence: db.prepare(`select id, exists (select 1 from process_event_deliveries
      where event_id = id and delivery_id = ?) as is_same from process_events where conversation_id = ? and sequence = ?`),
    insertDelivery:
      db.prepare(`insert into process_event_deliveries (event_id, gateway_id, target, delivery_id,
      status, attempts, subscriber_id) values (?, ?, ?, ?, ?, ?, ?)`),
    subscribers: db.prepare("select id, callback_url from subscribers order by id"),
    // What someone else has closed stays closed, and what is tried again open, except that it may turn out to have arrived.
    updateDelivery:
      db.prepare(`update process_event_deliveries set status = ?1, attempts = ?2, interruptions = ?3,
      next_retry_at = ?4, last_error = ?5, delivered_at = ?6 where event_id = ?7 and gateway_id = ?8 and target = ?9
      and (?1 = 'done' or round = ?10 and status in ('pending', 'claimed', ?1))`),
    insertFailure:
      db.prepare(`insert into failed_attempts (conversation_id, event_id, gateway, target, worker,
      attempt, error, failed_at, next_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    insertHint: db.prepare(
      "insert into hinted_threads (thread_key, hinted_at) values (?, ?) on conflict do nothing",
    ),
  };
}

/** How many of the newest messages that wait for their owner are looked at. */
const LOOKED_AT = 20;

/** The readings of the open work, for the gateways with the given ids. */
export function prepareReadings(db: DatabaseSync, gatewayIds: number[]) {
  const ours = gatewayIds.join(", "); // SQLite takes "in ()" for the empty list
  const columns = `c.*, g.name as gateway, i.status, i.attempts, i.interruptions, i.next_attempt_at, i.last_error,
      i.stopped_by, i.round, ${RUN_COLUMNS}`;
  const messages = `from inbox i join conversations c on c.id = i.conversation_id left join gateways g on g.id = c.gateway_id
      left join runs r on r.conversation_id = c.id
    where (c.gateway_id is null or c.gateway_id in (${ours})) and i.status in ('pending', 'claimed')`;
  const open = "status in ('pending', 'claimed')";
  const openMessages = db.prepare(
    `select ${columns}, i.is_unowned as is_to_be_taken ${messages} and i.conversation_id > ? order by i.conversation_id limit ?`,
  );
  const unowned = db.prepare(
    `select ${columns} ${messages} and i.is_unowned = 1 order by i.conversation_id limit ?`,
  );
  // Of those of gateways that nobody runs there may be many: a few of the newest tell enough.
  const newestUnowned = db.prepare(`select c.gateway_id is null or c.gateway_id in (${ours}) as is_ours
    from inbox i join conversations c on c.id = i.conversation_id where i.is_unowned = 1
    order by i.conversation_id desc limit ${LOOKED_AT}`);
  const stopRequests = db.prepare(`select i.conversation_id as conversationId, i.stopped_by as by
    from inbox i join conversations c on c.id = i.conversation_id
    where (c.gateway_id is null or c.gateway_id in (${ours})) and i.status in ('pending', 'claimed')
      and i.is_unowned = 1 and i.stopped_by is not null order by i.conversation_id limit ?`);
  const own = db.prepare("update inbox set is_unowned = 0 where conversation_id = ?");
  const wakeDue = db.prepare(`update inbox set status = 'pending', is_unowned = 1, next_attempt_at = null
    where status = 'waiting' and next_attempt_at <= ? and exists (select 1 from conversations c
      where c.id = conversation_id and (c.gateway_id is null or c.gateway_id in (${ours})))`);
  const openDeliveries = db.prepare(`select d.*, g.name as gateway, e.kind, e.content, e.created_at,
      e.conversation_id, c.gateway_channel_id, c.thread_ts, c.user_id, o.name as origin_gateway
    from process_event_deliveries d join gateways g on g.id = d.gateway_id join process_events e on e.id = d.event_id
      join conversations c on c.id = e.conversation_id left join gateways o on o.id = c.gateway_id
    where d.${open} and d.gateway_id in (${ours}) and d.event_id in (select distinct event_id
      from process_event_deliveries where ${open} and gateway_id in (${ours}) and event_id > ?
      order by event_id limit ?) order by d.event_id`);
  const hinted = db.prepare("select 1 from hinted_threads where thread_key = ?");
  const expire = db.prepare(`update process_event_deliveries set status = 'dead', next_retry_at = null,
      last_error = coalesce(last_error, 'No process ran its gateway in time')
    where ${open} and gateway_id not in (${ours})
      and (select created_at from process_events where id = event_id) < ?`);
  const expireMessages = db.prepare(`update inbox set status = 'dead', next_attempt_at = null, is_unowned = 0,
      last_error = coalesce(last_error, 'No process ran its gateway in time')
    where ${open} and exists (select 1 from conversations c where c.id = conversation_id
      and c.gateway_id not in (${ours}) and c.created_at < ?1 and not ${hasRunSince("?1")})`);
  const endExpiredRuns = db.prepare(endRunsOfTheDead("cast(unixepoch('subsec') * 1000 as integer)"));
  const unregistered =
    db.prepare(`select g.name as gateway, sum(messages) as messages, sum(deliveries) as deliveries
    from (select c.gateway_id, 1 as messages, 0 as deliveries from inbox i
        join conversations c on c.id = i.conversation_id where i.${open} and c.gateway_id not in (${ours})
      union all select gateway_id, 0, 1 from process_event_deliveries
        where ${open} and gateway_id not in (${ours})) join gateways g on g.id = gateway_id group by g.name`);

  return {
    /** Whether others have stored messages that are perhaps for this owner. */
    hasUnowned(): boolean {
      const newest = newestUnowned.all();
      return newest.length === LOOKED_AT || newest.some(({ is_ours }) => is_ours === 1);
    },
    openMessages: (page: Page): StoredMessage[] =>
      firstOf(openMessages.iterate(page.after, page.limit) as Iterable<MessageRow>, {
        ...page,
        idOf: ({ id }) => id,
      }).map(toStoredMessage),
    takeUnowned(limit: number): StoredMessage[] {
      const rows = unowned.all(limit) as unknown as MessageRow[];
      for (const { id } of rows) own.run(id);
      return rows.map(toStoredMessage);
    },
    wakeDue: (now: number): number => Number(wakeDue.run(now).changes),
    stopRequests: (limit: number): StopRequest[] => stopRequests.all(limit) as unknown as StopRequest[],
    openDeliveries: (page: Page): StoredDelivery[] =>
      firstOf(openDeliveries.iterate(page.after, page.limit) as Iterable<DeliveryRow>, {
        ...page,
        idOf: ({ event_id }) => event_id,
      }).map(toStoredDelivery),
    wasHinted: (threadKey: string): boolean => hinted.get(threadKey) !== undefined,
    expireUnregistered(createdBefore: number): UnregisteredWork[] {
      expire.run(createdBefore);
      expireMessages.run(createdBefore);
      endExpiredRuns.run();
      return unregistered.all().map(({ gateway, messages, deliveries }) => ({
        gateway: String(gateway),
        messages: Number(messages),
        deliveries: Number(deliveries),
      }));
    },
  };
}

/** The rows of a page: all of the last id that there is room for. The rest is not even read. */
export function firstOf<Row extends { content: string }>(
  rows: Iterable<Row>,
  { maxBytes = Number.POSITIVE_INFINITY, idOf }: Page & { idOf(row: Row): number },
): Row[] {
  const first: Row[] = [];
  let bytes = 0;
  let lastId: number | undefined;
  for (const row of rows) {
    if (bytes >= maxBytes && idOf(row) !== lastId) break;
    first.push(row);
    bytes += Buffer.byteLength(row.content);
    lastId = idOf(row);
  }
  return first;
}
