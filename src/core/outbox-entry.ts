/** A delivery in memory, and how it is made from an event or from what the database holds. */
import { shardOf, threadKey } from "./shards.ts";
import type { NewEvent, StoredDelivery, StoredEvent, StoredMessage } from "./store.ts";

export interface OutboxEntry {
  /** The lane: gateway, target and thread. */
  key: string;
  /** Of the message's thread, as all writes about the message. */
  shard: number;
  delivery: StoredDelivery;
  /** False when its event was not stored now, or had been stored before. */
  stored: Promise<boolean>;
  /** Whether it is known to be stored, and so to be sent. */
  isStored: boolean;
  /** Whether the attempt that comes next has been counted by the commit that stored the delivery. */
  isCounted: boolean;
  /** Found claimed at the start: its attempt ended with the process. Begun a few at a time. */
  wasInterrupted: boolean;
  /** Whether it has waited as long as one that was interrupted has to. */
  hasWaited?: boolean;
  /** Whether it has its turn among the deliveries to its target, or among the interrupted ones. */
  hasTurn: boolean;
  /** Left to another process. */
  isForgotten: boolean;
}

/** An event as the dispatcher hands it over; its deliveries are made here. */
export type EventToStore = Omit<NewEvent, "deliveries" | "conversationId">;

/** Where an event goes. */
export interface Target {
  gateway: string;
  target: string;
}

/** A new delivery on its way; its event has its id once `stored` has resolved. */
export function toNewEntry(
  delivery: StoredDelivery,
  write: { shard: number; stored: Promise<StoredEvent[]>; index: number },
): OutboxEntry {
  const stored = write.stored.then((events) => {
    const event = events[write.index];
    if (!event?.isNew) return false;
    delivery.eventId = event.eventId;
    return true;
  });
  return toEntry(delivery, { shard: write.shard, stored, isStored: false });
}

/** A delivery as the database holds it. */
export function toLoadedEntry(delivery: StoredDelivery): OutboxEntry {
  const shard = shardOf(threadKey({ ...delivery, gateway: delivery.originGateway }));
  return toEntry(delivery, { shard, stored: Promise.resolve(true), isStored: true });
}

function toEntry(
  delivery: StoredDelivery,
  more: Pick<OutboxEntry, "shard" | "stored" | "isStored">,
): OutboxEntry {
  return {
    key: laneOf(delivery),
    delivery,
    ...more,
    isCounted: false,
    wasInterrupted: delivery.status === "claimed",
    hasTurn: false,
    isForgotten: false,
  };
}

/** One delivery of an event; the same object is written and kept in memory. */
export function newDelivery(
  message: StoredMessage,
  { event, ...target }: Target & { event: EventToStore; deliveryId: string; eventId?: number },
): StoredDelivery {
  return {
    eventId: 0,
    ...target,
    status: "pending",
    attempts: 0,
    interruptions: 0,
    nextRetryAt: null,
    lastError: null,
    deliveredAt: null,
    kind: event.kind,
    content: event.content,
    createdAt: event.createdAt,
    conversationId: message.conversationId,
    originGateway: message.gateway,
    channelId: message.channelId,
    threadTs: message.threadTs,
    userId: message.userId,
  };
}

/** The deliveries that the commit has made for the subscribers. */
export function toSubscribers(
  message: StoredMessage,
  { events, made }: { events: EventToStore[]; made: StoredEvent[] },
): StoredDelivery[] {
  return events.flatMap((event, index) =>
    (made[index]?.toSubscribers ?? []).map(({ gateway, target, deliveryId }) =>
      newDelivery(message, { event, gateway, target, deliveryId, eventId: made[index]?.eventId ?? 0 }),
    ),
  );
}

function laneOf({ gateway, target, threadTs }: StoredDelivery): string {
  return threadKey({ gateway, channelId: target, threadTs });
}

/** What tells a stored delivery from all others. */
export function idOf({ eventId, gateway, target }: StoredDelivery): string {
  return `${eventId}\0${gateway}\0${target}`;
}
