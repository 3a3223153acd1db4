/**
 * The tables of the store model: the rows of the way, and each write as one call that happens or throws as a
 * whole. It refuses what the real databases refuse. Who may write, and when it is committed, is not its concern.
 */
import { RobsonError } from "../../src/core/errors.ts";
import type {
  AcceptedByOwner,
  Change,
  DeliveryChange,
  MessageChange,
  MessageStatus,
  NewDelivery,
  NewEvent,
  NewMessage,
  Placement,
  StoredDelivery,
  StoredEvent,
  StoredMessage,
} from "../../src/core/store.ts";
import { deliveryClosed } from "../../src/store/owner-errors.ts";
import { changeRun, type MemoryRun, referenceOf } from "./memory-runs.ts";

export interface ConversationRow extends NewMessage {
  conversationId: number;
  shard: number;
}

export interface InboxRow {
  status: MessageStatus;
  attempts: number;
  interruptions: number;
  nextAttemptAt: number | null;
  lastError: string | null;
  stoppedBy: string | null;
  round: number;
  isUnowned: boolean;
  /** Who wrote it last. */
  by: string;
}

export interface EventRow extends Omit<NewEvent, "deliveries" | "subscribersOf"> {
  eventId: number;
  deliveredAt: number | null;
}

export interface DeliveryRow extends DeliveryChange {
  round: number;
  deliveryId: string;
  by: string;
}

type Stored = Omit<AcceptedByOwner, "hasUnowned">;

const MAX_INT_4 = 2 ** 31 - 1;

export class MemoryTables {
  readonly gateways = new Set<string>();
  readonly conversations = new Map<number, ConversationRow>();
  readonly inbox = new Map<number, InboxRow>();
  readonly events = new Map<number, EventRow>();
  readonly deliveries = new Map<string, DeliveryRow>();
  readonly hints = new Set<string>();
  readonly runs = new Map<number, MemoryRun>();
  /** Events that nobody has waited for yet, by their keys, as JSON. */
  readonly signals = new Map<string, string>();
  /** How often a message became done or dead. */
  readonly ends = new Map<number, number>();
  /** The latest round of a run's message. */
  readonly lastRounds = new Map<number, number>();
  /** Messages and deliveries whose row is perhaps an older one than the last: a write of it came late. */
  readonly overwritten = new Set<number | string>();
  readonly #versions = new WeakMap<object, number>();
  #lastVersion = 0;
  readonly #byKey = new Map<string, number>();
  readonly #bySequence = new Map<string, number>();
  readonly #deliveryIds = new Set<string>();
  #undo: (() => void)[] = [];

  /** What throws in between leaves nothing behind. */
  transaction<T>(write: () => T): T {
    this.#undo = [];
    try {
      return write();
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo();
      throw error;
    }
  }

  accept(message: NewMessage, at: Placement & { isUnowned: boolean; by: string }): Stored {
    for (const text of [message.content, message.channelId, message.threadTs, message.userId])
      checkText(text);
    if (message.idempotencyKey !== null) checkText(message.idempotencyKey);
    const key = `${message.gateway ?? ""}\0${message.idempotencyKey}`;
    const known = message.idempotencyKey === null ? undefined : this.#byKey.get(key);
    if (known !== undefined) return this.#acceptCopy(known, at);
    const conversationId = this.conversations.size + 1;
    this.conversations.set(conversationId, { ...message, conversationId, shard: at.shard });
    if (message.idempotencyKey !== null) this.#byKey.set(key, conversationId);
    const { status, attempts, isUnowned, by } = at;
    const rest = { interruptions: 0, nextAttemptAt: null, lastError: null, stoppedBy: null, round: 0 };
    this.inbox.set(conversationId, { status, attempts, ...rest, isUnowned, by });
    return { conversationId, isDuplicate: false };
  }

  #acceptCopy(conversationId: number, { isUnowned }: { isUnowned: boolean }): Stored {
    const row = this.inbox.get(conversationId);
    const isWithOwner = row !== undefined && isOpen(row.status) && !row.isUnowned;
    if (isWithOwner && isUnowned) this.update(row, { isUnowned: true });
    return { conversationId, isDuplicate: true, isWithOwner };
  }

  record(change: Change, by: string): StoredEvent[] {
    if (change.message) this.#changeMessage(change.message, by);
    if (change.run) changeRun(this, change.run);
    if (change.delivery) this.#changeDelivery(change.delivery, by);
    if (change.failure) checkText(change.failure.error);
    if (change.hint) this.hints.add(change.hint.threadKey);
    return (change.events ?? []).map((event) => this.#storeEvent(event, by));
  }

  message(conversationId: number): StoredMessage | undefined {
    const row = this.conversations.get(conversationId);
    if (!row) return undefined;
    const { shard: _shard, ...message } = row;
    const { status, attempts, interruptions, nextAttemptAt, lastError, stoppedBy, round } =
      this.inbox.get(conversationId) ?? DONE;
    const stands = { status, attempts, interruptions, nextAttemptAt, lastError, stoppedBy, round };
    return { ...message, ...stands, ...referenceOf(this.runs.get(conversationId)) };
  }

  /** Open messages that match, in the order of their ids. */
  openMessages(matches: (row: ConversationRow, inbox: InboxRow) => boolean): StoredMessage[] {
    // One that was taken back after it had ended has lost its place.
    const rows = [...this.inbox].sort(([first], [second]) => first - second);
    return rows.flatMap(([id, inbox]) => {
      const row = this.conversations.get(id);
      const message = this.message(id);
      return row && message && isOpen(inbox.status) && matches(row, inbox) ? [message] : [];
    });
  }

  openDeliveries(matches: (row: DeliveryRow, conversation: ConversationRow) => boolean): StoredDelivery[] {
    return [...this.deliveries.values()].flatMap((row) => {
      const conversation = this.conversationOf(row);
      if (!isOpen(row.status) || !conversation || !matches(row, conversation)) return [];
      const { kind, content, createdAt, conversationId } = this.events.get(row.eventId) as EventRow;
      const { gateway: originGateway, channelId, threadTs, userId } = conversation;
      const { by: _by, ...delivery } = row;
      return [
        {
          ...delivery,
          ...{ kind, content, createdAt, conversationId, originGateway, channelId, threadTs, userId },
        },
      ];
    });
  }

  conversationOf({ eventId }: { eventId: number }): ConversationRow | undefined {
    return this.conversations.get(this.events.get(eventId)?.conversationId ?? 0);
  }

  deliveriesOf(eventId: number): DeliveryRow[] {
    return [...this.deliveries.values()].filter((row) => row.eventId === eventId);
  }

  update<Row extends object>(row: Row, change: Partial<Row>): void {
    const before = { ...row };
    const versionBefore = this.versionOf(row);
    this.onUndo(() => {
      Object.assign(row, before);
      this.#versions.set(row, versionBefore);
    });
    Object.assign(row, change);
    this.#versions.delete(row);
  }

  /** Another one after each change of the row. */
  versionOf(row: object): number {
    const known = this.#versions.get(row);
    if (known !== undefined) return known;
    this.#lastVersion += 1;
    this.#versions.set(row, this.#lastVersion);
    return this.#lastVersion;
  }

  /** What takes a write back where a later one of its transaction throws. */
  onUndo(undo: () => void): void {
    this.#undo.push(undo);
  }

  #changeMessage({ conversationId, round = 0, ...change }: MessageChange, by: string): void {
    checkWhole(change.attempts, change.interruptions);
    if (change.nextAttemptAt !== null && !Number.isSafeInteger(change.nextAttemptAt))
      throw refused("an instant");
    if (change.lastError !== null) checkText(change.lastError);
    const row = this.inbox.get(conversationId);
    // What is dead, or discarded, is a person's to bring back: a write that says otherwise comes too late.
    if (
      row?.round !== round ||
      (hasEnded(row.status) && change.status !== row.status && change.status !== "done")
    )
      return;
    // What waits is woken by what it waits for alone.
    if (row.status === "waiting" && isOpen(change.status)) return;
    if (!hasEnded(row.status) && hasEnded(change.status)) this.#countEnd(conversationId);
    if (change.status === "done") {
      this.inbox.delete(conversationId);
      this.#undo.push(() => this.inbox.set(conversationId, row));
    } else {
      const isToBeTaken = row.stoppedBy !== null && change.status !== "dead" && row.isUnowned;
      this.update(row, { ...change, isUnowned: isToBeTaken, by });
    }
  }

  #countEnd(conversationId: number): void {
    const count = this.ends.get(conversationId) ?? 0;
    this.ends.set(conversationId, count + 1);
    this.#undo.push(() => this.ends.set(conversationId, count));
  }

  #changeDelivery({ round = 0, ...change }: DeliveryChange, by: string): void {
    checkWhole(change.attempts, change.interruptions);
    if (change.lastError !== null) checkText(change.lastError);
    const row = this.deliveries.get(deliveryKey(change));
    // What someone has closed, or what is dead, stays so, and what is tried again open, except that it may turn out to
    // have arrived.
    const isOfRound = row?.round === round && (isOpen(row.status) || row.status === change.status);
    if (!row || !(isOfRound || change.status === "done")) throw deliveryClosed();
    this.update(row, { ...change, by });
    const event = this.events.get(change.eventId);
    if (change.deliveredAt === null || !event) return;
    if (this.deliveriesOf(change.eventId).every(({ status }) => status === "done"))
      this.update(event, { deliveredAt: change.deliveredAt });
  }

  #storeEvent(event: NewEvent, by: string): StoredEvent {
    checkText(event.content);
    const { deliveries, subscribersOf: _none, ...row } = event;
    const key = `${event.conversationId}/${event.sequence}`;
    const known = this.#bySequence.get(key);
    if (known !== undefined) {
      // With the same delivery, a former try at this very write has stored it.
      const ids = this.deliveriesOf(known).map(({ deliveryId }) => deliveryId);
      return { eventId: known, isNew: ids.includes(deliveries[0]?.deliveryId ?? "") };
    }
    const eventId = this.events.size + 1;
    const deliveredAt = deliveries.length === 0 ? event.createdAt : null;
    this.events.set(eventId, { ...row, eventId, deliveredAt });
    this.#bySequence.set(key, eventId);
    this.#undo.push(() => this.events.delete(eventId) && this.#bySequence.delete(key));
    for (const delivery of deliveries) this.#storeDelivery(delivery, { eventId, by });
    return { eventId, isNew: true };
  }

  #storeDelivery(delivery: NewDelivery, { eventId, by }: { eventId: number; by: string }): void {
    checkText(delivery.target);
    const key = deliveryKey({ ...delivery, eventId });
    if (this.deliveries.has(key) || this.#deliveryIds.has(delivery.deliveryId))
      throw refused("a delivery that is there");
    const { gateway, target, deliveryId, status, attempts } = delivery;
    const rest = { interruptions: 0, nextRetryAt: null, lastError: null, deliveredAt: null, round: 0 };
    this.deliveries.set(key, { eventId, gateway, target, deliveryId, status, attempts, ...rest, by });
    this.#deliveryIds.add(deliveryId);
    this.#undo.push(() => this.deliveries.delete(key) && this.#deliveryIds.delete(deliveryId));
  }
}

const DONE = {
  status: "done",
  attempts: 0,
  interruptions: 0,
  nextAttemptAt: null,
  lastError: null,
  stoppedBy: null,
  round: 0,
} as const;

export function isOpen(status: MessageStatus): boolean {
  return status === "pending" || status === "claimed";
}

export function hasEnded(status: MessageStatus): boolean {
  return status === "done" || status === "dead";
}

export function deliveryKey({
  eventId,
  gateway,
  target,
}: Pick<DeliveryChange, "eventId" | "gateway" | "target">) {
  return `${eventId}\0${gateway}\0${target}`;
}

/** As PostgreSQL, the stricter of the two. */
function checkText(text: unknown): void {
  if (typeof text !== "string" || text.includes("\0") || !text.isWellFormed()) throw refused("a text");
}

function checkWhole(...numbers: number[]): void {
  if (numbers.some((number) => !Number.isInteger(number) || number > MAX_INT_4)) throw refused("a number");
}

function refused(what: string): RobsonError {
  return new RobsonError("STORE_REFUSED_ROW", `Cannot store ${what} in memory`, { hint: "Look at the row" });
}
