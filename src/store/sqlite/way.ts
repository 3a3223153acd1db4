/** The statements of a message's way on SQLite, prepared once. The PostgreSQL ones: ../postgres/way.ts. */
import type { DatabaseSync } from "node:sqlite";
import type { Accepted } from "../../core/gateway.ts";
import type {
  Change,
  DeliveryChange,
  MessageChange,
  NewEvent,
  NewMessage,
  StoredDelivery,
  StoredEvent,
  StoredMessage,
  UnregisteredDeliveries,
} from "../../core/store.ts";
import { type DeliveryRow, type MessageRow, toStoredDelivery, toStoredMessage } from "../rows.ts";

/** What the statements need to know of the gateways: their row ids, by name. */
export interface GatewayIds {
  idOf(name: string): number;
}

/** Everything that happens to messages and deliveries, each as one synchronous call inside a transaction. */
export class Way {
  readonly #statements: ReturnType<typeof prepareMessageWrites> & ReturnType<typeof prepareEventWrites>;
  readonly #gateways: GatewayIds;

  constructor(db: DatabaseSync, gateways: GatewayIds) {
    this.#statements = { ...prepareMessageWrites(db), ...prepareEventWrites(db) };
    this.#gateways = gateways;
  }

  accept(message: NewMessage, at: { status: string; attempts: number; isUnowned: boolean }): Accepted {
    const { insertConversation, conversationByKey, insertInbox } = this.#statements;
    const gatewayId = message.gateway === null ? null : this.#gateways.idOf(message.gateway);
    const { changes, lastInsertRowid } = insertConversation.run(
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
    );
    if (changes === 0) {
      const known = conversationByKey.get(gatewayId, message.idempotencyKey);
      return { conversationId: Number(known?.id), isDuplicate: true };
    }
    insertInbox.run(lastInsertRowid, at.status, at.attempts, at.isUnowned ? 1 : 0);
    return { conversationId: Number(lastInsertRowid), isDuplicate: false };
  }

  record(change: Change): StoredEvent[] {
    if (change.message) this.#changeMessage(change.message);
    if (change.delivery) this.#changeDelivery(change.delivery);
    return (change.events ?? []).map((event) => this.#storeEvent(event));
  }

  #changeMessage({ conversationId, status, attempts, nextAttemptAt, lastError }: MessageChange): void {
    if (status === "done") this.#statements.deleteInbox.run(conversationId);
    else this.#statements.updateInbox.run(status, attempts, nextAttemptAt, lastError, conversationId);
  }

  #storeEvent({ conversationId, sequence, kind, content, createdAt, deliveries }: NewEvent): StoredEvent {
    const { insertEvent, eventBySequence, insertDelivery } = this.#statements;
    // An event for nobody is read by the asker himself: it is delivered by being there.
    const deliveredAt = deliveries.length === 0 ? createdAt : null;
    const { changes, lastInsertRowid } = insertEvent.run(
      conversationId,
      sequence,
      kind,
      content,
      createdAt,
      deliveredAt,
    );
    if (changes === 0)
      return { eventId: Number(eventBySequence.get(conversationId, sequence)?.id), isNew: false };
    for (const { gateway, target, deliveryId, status, attempts } of deliveries) {
      insertDelivery.run(lastInsertRowid, this.#gateways.idOf(gateway), target, deliveryId, status, attempts);
    }
    return { eventId: Number(lastInsertRowid), isNew: true };
  }

  #changeDelivery(change: DeliveryChange): void {
    const { eventId, gateway, target, status, attempts, nextRetryAt, lastError, deliveredAt } = change;
    const { updateDelivery, stampEvent } = this.#statements;
    const gatewayId = this.#gateways.idOf(gateway);
    updateDelivery.run(status, attempts, nextRetryAt, lastError, deliveredAt, eventId, gatewayId, target);
    if (deliveredAt !== null) stampEvent.run(deliveredAt, eventId);
  }
}

function prepareMessageWrites(db: DatabaseSync) {
  return {
    insertConversation:
      db.prepare(`insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts,
      user_id, role, content, is_addressed, idempotency_key, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing`),
    conversationByKey: db.prepare(
      `select id from conversations
      where coalesce(gateway_id, 0) = coalesce(?, 0) and idempotency_key = ?`,
    ),
    insertInbox: db.prepare(
      "insert into inbox (conversation_id, status, attempts, is_unowned) values (?, ?, ?, ?)",
    ),
    updateInbox: db.prepare(`update inbox set status = ?, attempts = ?, next_attempt_at = ?, last_error = ?,
      is_unowned = 0 where conversation_id = ?`),
    deleteInbox: db.prepare("delete from inbox where conversation_id = ?"),
  };
}

function prepareEventWrites(db: DatabaseSync) {
  return {
    insertEvent: db.prepare(`insert into process_events (conversation_id, sequence, kind, content, created_at,
      delivered_at) values (?, ?, ?, ?, ?, ?) on conflict (conversation_id, sequence) do nothing`),
    eventBySequence: db.prepare("select id from process_events where conversation_id = ? and sequence = ?"),
    insertDelivery:
      db.prepare(`insert into process_event_deliveries (event_id, gateway_id, target, delivery_id,
      status, attempts) values (?, ?, ?, ?, ?, ?)`),
    updateDelivery:
      db.prepare(`update process_event_deliveries set status = ?, attempts = ?, next_retry_at = ?,
      last_error = ?, delivered_at = ? where event_id = ? and gateway_id = ? and target = ?`),
    stampEvent: db.prepare(`update process_events set delivered_at = ?1 where id = ?2 and not exists
      (select 1 from process_event_deliveries where event_id = ?2 and status <> 'done')`),
  };
}

/** The readings of the open work, for the gateways with the given ids. */
export function prepareReadings(db: DatabaseSync, gatewayIds: number[]) {
  const ours = gatewayIds.join(", "); // SQLite takes "in ()" for the empty list
  const messages = `select c.*, g.name as gateway, i.status, i.attempts, i.next_attempt_at, i.last_error
    from inbox i join conversations c on c.id = i.conversation_id left join gateways g on g.id = c.gateway_id
    where (c.gateway_id is null or c.gateway_id in (${ours})) and i.status in ('pending', 'claimed')`;
  const open = "status in ('pending', 'claimed')";
  const openMessages = db.prepare(`${messages} and i.conversation_id > ? order by i.conversation_id limit ?`);
  const unowned = db.prepare(`${messages} and i.is_unowned = 1 order by i.conversation_id limit ?`);
  const own = db.prepare("update inbox set is_unowned = 0 where conversation_id = ?");
  const openDeliveries = db.prepare(`select d.*, g.name as gateway, e.kind, e.content, e.created_at,
      e.conversation_id, c.gateway_channel_id, c.thread_ts, c.user_id, o.name as origin_gateway
    from process_event_deliveries d join gateways g on g.id = d.gateway_id join process_events e on e.id = d.event_id
      join conversations c on c.id = e.conversation_id left join gateways o on o.id = c.gateway_id
    where d.${open} and d.gateway_id in (${ours}) and d.event_id in (select distinct event_id
      from process_event_deliveries where ${open} and gateway_id in (${ours}) and event_id > ?
      order by event_id limit ?) order by d.event_id`);
  const expire = db.prepare(`update process_event_deliveries set status = 'dead', next_retry_at = null,
      last_error = coalesce(last_error, 'No process ran its gateway in time')
    where ${open} and gateway_id not in (${ours})
      and event_id in (select id from process_events where created_at < ?)`);
  const unregistered = db.prepare(`select g.name as gateway, count(*) as count from process_event_deliveries d
      join gateways g on g.id = d.gateway_id where d.${open} and d.gateway_id not in (${ours}) group by g.name`);

  return {
    openMessages: (page: { after: number; limit: number }): StoredMessage[] =>
      (openMessages.all(page.after, page.limit) as unknown as MessageRow[]).map(toStoredMessage),
    takeUnowned(limit: number): StoredMessage[] {
      const rows = unowned.all(limit) as unknown as MessageRow[];
      for (const { id } of rows) own.run(id);
      return rows.map(toStoredMessage);
    },
    openDeliveries: (page: { after: number; limit: number }): StoredDelivery[] =>
      (openDeliveries.all(page.after, page.limit) as unknown as DeliveryRow[]).map(toStoredDelivery),
    expireUnregistered(createdBefore: number): UnregisteredDeliveries[] {
      expire.run(createdBefore);
      return unregistered.all().map((row) => ({ gateway: String(row.gateway), count: Number(row.count) }));
    },
  };
}
