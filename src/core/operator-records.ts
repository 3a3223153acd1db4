/**
 * What an operator asks of the database: all that is on record about one message, and lists of messages, dead
 * letters and gateways. Cold readings; nothing on a message's way waits for them. Implementation: the store.
 */
import type { EventKind } from "./process-event.ts";
import type { RunDetails } from "./run-store.ts";
import type { DeadLetter, DeliveryRecord, MessageStatus, StoredMessage } from "./store.ts";

/** An attempt that failed or was interrupted: of a worker at a message, or of a gateway at a delivery. */
export interface FailedAttempt {
  attempt: number;
  worker: string | null;
  error: string;
  failedAt: number;
  /** When the next one was due; null when none was. */
  nextAt: number | null;
}

/** Who holds a thread, or did last, and since when. On SQLite it is the owner of everything. */
export interface Holder {
  process: string;
  since: number;
}

export interface DeliveryFacts extends DeliveryRecord {
  /** Of its thread at its gateway; null where nobody holds it. */
  holder: Holder | null;
  isToSubscriber: boolean;
  failures: FailedAttempt[];
  /** The event before it in its lane that has not arrived yet. */
  isBehindEvent: number | null;
}

export interface EventFacts {
  id: number;
  sequence: number;
  kind: EventKind;
  content: string;
  /** Null for the loop itself. */
  worker: string | null;
  createdAt: number;
  deliveredAt: number | null;
  deliveries: DeliveryFacts[];
}

/** Everything on record about one message. */
export interface MessageFacts {
  message: StoredMessage;
  /** Stored by another process, and not yet taken over by the owner. */
  isUnowned: boolean;
  /** A dead letter that a person has closed. */
  isDiscarded: boolean;
  failures: FailedAttempt[];
  events: EventFacts[];
  /** The open messages of its thread that come before it, in their order. */
  isBehindMessages: number[];
  /** Null where nobody holds its thread. */
  holder: Holder | null;
  /** The long work that it has started, and whatever else has steps. */
  run?: RunDetails;
}

export interface MessageSummary {
  conversationId: number;
  gateway: string | null;
  channelId: string;
  threadTs: string;
  userId: string;
  content: string;
  status: MessageStatus;
  createdAt: number;
}

/** A dead letter as it is listed. */
export interface ListedDeadLetter extends DeadLetter {
  /** Of a delivery. */
  deliveryId?: string;
  kind?: EventKind;
}

export interface DeadLetterFilter {
  gateway?: string | undefined;
  /** Of messages accepted, or events emitted, before. */
  createdBefore?: number | undefined;
  /** Only this message's own, not those of its deliveries. */
  conversationId?: number | undefined;
  /** Only those of this event's deliveries. */
  eventId?: number | undefined;
  limit: number;
}

export interface GatewayCounts {
  gateway: string;
  openMessages: number;
  deadMessages: number;
  openDeliveries: number;
  deadDeliveries: number;
}

/** What a process that runs the loop holds. */
export interface ProcessRecord {
  /** How it calls itself. */
  process: string;
  since: number;
  /** The gateways that it runs, with what it holds of them; empty where one process holds everything. */
  gateways: {
    gateway: string;
    /** Of `SHARD_COUNT`. */
    shards: number;
    /** Whether it is the one that listens; null where each listens for itself. */
    isListening: boolean | null;
  }[];
}

export interface OperatorRecords {
  facts(conversationId: number): Promise<MessageFacts | undefined>;
  /** The messages of this idempotency key, one for each gateway at the most. */
  messagesByKey(idempotencyKey: string): Promise<number[]>;
  /** Whether a message of this number may have been removed by retention: it is not there, and later ones were. */
  wasRemoved(conversationId: number): Promise<boolean>;
  messageOfEvent(eventId: number): Promise<number | undefined>;
  /** Those of the latest messages that name the task in a command, the oldest first. */
  messagesOfTask(taskKey: string, options: { limit: number }): Promise<number[]>;
  /** The latest messages, the latest first. */
  messages(filter: {
    gateway?: string | undefined;
    status?: MessageStatus | undefined;
    limit: number;
  }): Promise<MessageSummary[]>;
  /** The oldest first. */
  deadLetters(filter: DeadLetterFilter): Promise<ListedDeadLetter[]>;
  /** Every gateway that was ever registered. */
  gateways(): Promise<GatewayCounts[]>;
  /** The processes that run the loop, or did last, in the order of their start. Whether they live is `Store`'s to say. */
  processes(): Promise<ProcessRecord[]>;
  /** Whether a message whose idempotency key begins so was ever stored. */
  hasKeyPrefix(prefix: string): Promise<boolean>;
}
