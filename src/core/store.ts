/**
 * The contract between the loop and the database. Two sides: what the one owner of the open work may do
 * (`Ownership`, every write fenced by its epoch), and what anyone may do beside it (`Store`).
 * Implementations: `store/sqlite`, `store/postgres`; `testStore()` is the suite that both pass.
 */
import type { AdmissionStore } from "./admission-store.ts";
import type { Accepted } from "./gateway.ts";
import type { EventKind, ProcessEvent } from "./process-event.ts";
import type { RunChange, RunRecords, RunReference } from "./run-store.ts";
import type { ShardKey } from "./shards.ts";

/** `pending` waits (perhaps until a later time), `claimed` is being attempted, `done` and `dead` have ended. */
export type Status = "pending" | "claimed" | "done" | "dead";

/** A message as it is stored; its text is well-formed and within the limits. */
export interface NewMessage {
  id: string;
  /** The gateway's name, or null for none. */
  gateway: string | null;
  channelId: string;
  /** '' where there is no thread. */
  threadTs: string;
  userId: string;
  role: "user" | "assistant" | "system";
  content: string;
  isAddressed: boolean;
  idempotencyKey: string | null;
  createdAt: number;
}

/** `waiting`: nothing is to be done before someone answers, or a time comes; it is in nobody's memory. */
export type MessageStatus = Status | "waiting";

export interface StoredMessage extends NewMessage {
  conversationId: number;
  status: MessageStatus;
  /** Attempts begun so far; 0 again once it is done. */
  attempts: number;
  /** How many of them ended with the process, by a crash or a kill. */
  interruptions: number;
  nextAttemptAt: number | null;
  lastError: string | null;
  /** Who wants it ended, while it is open: it is, before any worker has it. */
  stoppedBy: string | null;
  /** How often a person has had it tried again after its end. */
  round: number;
  /** In a page: nobody has taken it yet from the process that stored it. */
  isUnowned?: true;
  /** The long work that it has started. */
  run?: RunReference;
}

/**
 * What becomes of a message; all its columns are set as given. One of an earlier round than the message is in changes
 * nothing: it is written once more, or late, and a person has had the message tried again meanwhile.
 */
export interface MessageChange {
  conversationId: number;
  status: MessageStatus;
  attempts: number;
  interruptions: number;
  nextAttemptAt: number | null;
  lastError: string | null;
  /** Of the message as it was read. Default: 0. */
  round?: number;
}

export interface NewDelivery {
  gateway: string;
  target: string;
  /** A uuid; never changes. */
  deliveryId: string;
  /** `pending`, or `claimed` with one attempt when the first attempt begins as soon as this is committed. */
  status: Status;
  attempts: number;
}

export interface NewEvent {
  conversationId: number;
  /**
   * (conversationId, sequence) is the event's identity: n for the n-th emit of the message's worker, -n when that
   * emit ends the message. The loop's own word about a dead letter takes minus the instant.
   */
  sequence: number;
  kind: EventKind;
  content: string;
  /** The worker that emitted it; null for the loop itself. */
  worker: string | null;
  createdAt: number;
  deliveries: NewDelivery[];
  /** The gateway through which one more delivery goes to each subscriber that there is at the commit. */
  subscribersOf?: string;
}

/** An attempt that failed, as it is kept for `robson why`: of a worker, or of a gateway at a delivery. */
export interface NewFailure {
  conversationId: number;
  /** With gateway and target: the delivery that was attempted. Null for an attempt of a worker. */
  eventId: number | null;
  gateway: string | null;
  target: string | null;
  worker: string | null;
  attempt: number;
  error: string;
  failedAt: number;
  /** When the next attempt was due; null when there was none. */
  nextAt: number | null;
}

/**
 * The row that a new event got; not new when a former attempt at the message had stored it. One that a former try at
 * the same write has stored is new: its deliveries, known by their ids, are.
 */
export interface StoredEvent {
  eventId: number;
  isNew: boolean;
  /** Of a new event with `subscribersOf`: the deliveries that were made for them, all `pending`. */
  toSubscribers?: NewDelivery[];
}

/** Which delivery: one event to one target through one gateway. */
export interface DeliveryKey {
  eventId: number;
  gateway: string;
  target: string;
}

/**
 * What becomes of a delivery; all its columns are set as given. Of an earlier round, only that it has arrived counts:
 * see `MessageChange`.
 */
export interface DeliveryChange extends DeliveryKey {
  status: Status;
  attempts: number;
  /** How many of them ended with the process. */
  interruptions: number;
  nextRetryAt: number | null;
  lastError: string | null;
  deliveredAt: number | null;
  /** Of the delivery as it was read: how often a person has had it tried again. Default: 0. */
  round?: number;
}

/** An open delivery with all that an attempt at it needs. */
export interface StoredDelivery extends DeliveryChange {
  deliveryId: string;
  round: number;
  kind: EventKind;
  content: string;
  createdAt: number;
  conversationId: number;
  /** The gateway that the message came through, or null for none. */
  originGateway: string | null;
  channelId: string;
  threadTs: string;
  userId: string;
}

/** Writes that are committed together or not at all. */
export interface Change {
  /** The thread's shard: changes of one shard are written in the order in which they were handed over. */
  shard: number;
  message?: MessageChange;
  events?: NewEvent[];
  delivery?: DeliveryChange;
  failure?: NewFailure;
  run?: RunChange;
  /** The thread has had the hint that a message matched nothing. */
  hint?: { threadKey: string; hintedAt: number };
  /** Shards of other processes that have to look: some of the deliveries are theirs. */
  wakes?: ShardKey[];
}

/** How a message is stored: the shard of its thread, and whether its first attempt begins with the commit. */
export type Placement =
  | {
      shard: number;
      status: "pending";
      attempts: 0;
      /** For the process that holds the shard. That one takes it once more where it is a copy of an open message. */
      isForOther?: boolean;
    }
  | { shard: number; status: "claimed"; attempts: 1 };

/** A part of the open work: of ids above `after`, in their order, of the gateways that this process runs. */
export interface Page {
  after: number;
  limit: number;
  /** It may end before `limit`, behind the id with which its texts reach so many bytes of UTF-8 or more. Default: it does not. */
  maxBytes?: number;
}

/** Someone wants an open message ended. */
export interface StopRequest {
  conversationId: number;
  by: string;
}

/** Open work of a gateway that this process does not run. */
export interface UnregisteredWork {
  gateway: string;
  messages: number;
  deliveries: number;
}

/** An entry out of attempts, kept for a person. */
export interface DeadLetter {
  conversationId: number;
  /** Absent where the message itself is the dead letter. */
  delivery?: DeliveryKey;
  gateway: string | null;
  attempts: number;
  lastError: string;
  createdAt: number;
}

/** What others have stored: messages to take, or whatever there is. */
export type WokenFor = "messages" | "all";

export interface AcceptedByOwner extends Accepted {
  /** Whether others had stored messages before it which may be of its thread, and are to be taken first. */
  hasUnowned: boolean;
  /** Of a duplicate: it is open, and there is nobody who has yet to take it. Whoever owns its thread should know it. */
  isWithOwner?: boolean;
}

/**
 * The right to work on open messages and deliveries: on SQLite on all of a file, on PostgreSQL on those of the
 * shards that this process holds beside others. Every write fails with `LEASE_LOST` once another process has
 * taken them over, so that one which was frozen can write nothing.
 * Writes that wait at the same moment share one commit. A write that rejects with `STORE_BUSY` or
 * `STORE_UNAVAILABLE` may be tried again; after `STORE_UNAVAILABLE` it may have happened, which is why every
 * write can safely be repeated.
 */
export interface Ownership {
  readonly epoch: number;
  /** Stores a message, or recognises it by (gateway, idempotency key). Resolves after the commit. */
  accept(message: NewMessage, at: Placement): Promise<AcceptedByOwner>;
  /**
   * Resolves after the commit, with one entry for each of `change.events`. Rejects with `DELIVERY_CLOSED` for a
   * delivery that someone else has closed meanwhile, or that a person has had tried again since the change was made;
   * that it has arrived is stored all the same.
   */
  record(change: Change): Promise<StoredEvent[]>;
  /** Open messages in the order of their ids, whoever stored them. Messages of no gateway are included. */
  openMessages(page: Page): Promise<StoredMessage[]>;
  /**
   * Takes over what other processes have stored since; each message is handed out once, and once more when someone
   * wants it ended, or when another process has got a copy of it. After a failure, what was taken is among what
   * `openMessages` reads; nothing that is stored later is missed by the next taking, whenever the failed one is
   * carried out.
   */
  takeUnowned(limit: number): Promise<StoredMessage[]>;
  /** The messages that someone wants ended and that were not taken since; for when there is no room to take any. */
  stopRequests(limit: number): Promise<StopRequest[]>;
  /** All open deliveries of the next `limit` events, in the order of the events. */
  openDeliveries(page: Page): Promise<StoredDelivery[]>;
  /** Makes dead what has waited since before `createdBefore` for a gateway of no process; counts what waits on. */
  expireUnregistered(createdBefore: number): Promise<UnregisteredWork[]>;
  /** Makes `pending` what waited until now, of the messages that this process owns; `takeUnowned` hands it out. */
  wakeDue(now: number): Promise<number>;
  /** Whether a change with this thread's hint was stored before. */
  wasHinted(threadKey: string): Promise<boolean>;
  /** Calls back when another process has stored something, or may have. */
  onWake(callback: (wokenFor: WokenFor) => void): void;
  /** Calls back once when the ownership is known to be lost. */
  onLost(callback: (error: Error) => void): void;
  /** Calls back with the database's error when it cannot be reached, with undefined when it can. */
  onReach(callback: (error: unknown) => void): void;
  /** Whether this process owns the threads of that gateway which hash to that shard. */
  holds(gateway: string | null, shard: number): boolean;
  /** All that it owns; empty where it owns everything. */
  shards(): ShardKey[];
  /** Calls back when shards have come to this process, or when another one should have some of its. */
  onShards(callback: (change: ShardChange) => void): void;
  /**
   * Gives shards up: `holds` is false for them from the call on, until it has failed or they have come back.
   * Nothing of theirs may be under way, and nothing written for them afterwards.
   */
  letGo(keys: ShardKey[]): Promise<void>;
  /** Takes no more shards: the process stops, and what it lets go is for others. */
  retire(): Promise<void>;
  /** Ends the ownership after the writes under way. Safe to call twice. */
  release(): Promise<void>;
}

/** `gained`: their open work is to be read. `wanted`: to be let go as soon as nothing of theirs is under way. */
export interface ShardChange {
  gained: ShardKey[];
  wanted: ShardKey[];
}

export interface OwnOptions {
  /** How the process calls itself to others. */
  owner: string;
  /** The gateways that it runs. */
  gateways: string[];
  /** Those of them that one process at a time may listen to. */
  exclusiveGateways?: string[];
  /** What its workers are; all processes of one database must have the same. */
  workers?: string;
  /** After how long without a sign of life another process may take its shards over. */
  leaseMs?: number;
  now: number;
  /** Tells when shards are taken later on. Default: the system's. */
  clock?: { now(): number };
}

export interface DeliveryRecord extends Omit<DeliveryChange, "round"> {
  deliveryId: string;
}

export interface EventRecord extends ProcessEvent {
  deliveries: DeliveryRecord[];
}

export interface Store {
  /** Where the data is, fit to be shown: a file, or a URL without its password. */
  readonly location: string;
  readonly admission: AdmissionStore;
  readonly runs: RunRecords;
  /**
   * Becomes an owner and registers the gateways' names. `ALREADY_RUNNING` where there can be only one;
   * `WORKERS_DIFFER` where the others have other workers.
   */
  own(options: OwnOptions): Promise<Ownership>;
  /**
   * Stores a message for whoever owns the database, and wakes it; so does a copy of one that is still open, of which
   * the owner perhaps does not know. Not fenced.
   */
  insertUnowned(message: NewMessage): Promise<Accepted>;
  /** How the processes call themselves that own the database, or a part of it, at this moment. */
  currentOwners(): Promise<string[]>;
  /**
   * Wants an open message ended by its owner, and wakes that one; kept until it has ended, so that a crash in between
   * does not run it. False when no such message is open. Not fenced.
   */
  requestStop(conversationId: number, by: string): Promise<boolean>;
  conversation(conversationId: number): Promise<StoredMessage | undefined>;
  /** The events of a message in their order, each with its deliveries. */
  events(conversationId: number): Promise<EventRecord[]>;
  /** The oldest dead letters, messages and deliveries together. */
  deadLetters(options: { limit: number }): Promise<DeadLetter[]>;
  /**
   * Puts a dead letter back with all its attempts before it, in its next round, and wakes the owner. False when it is
   * none.
   */
  retryDeadLetter(letter: DeadLetter): Promise<boolean>;
  /** Closes a dead letter for good; its last error stays on record. False when it is none. */
  discardDeadLetter(letter: DeadLetter): Promise<boolean>;
  /** Closes every connection. Writes under way are finished first. */
  close(): Promise<void>;
}
