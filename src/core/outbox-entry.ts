/** A delivery in memory, and how it is made from an event or from what the database holds. */
import { shardOf, threadKey } from "./shards.ts";
import type { NewEvent, StoredDelivery, StoredEvent, StoredMessage } from "./store.ts";

export interface OutboxEntry {
  /** What tells it from all others in memory; '' until its event has its id. */
  id: string;
  /** The lane: gateway, target and thread. */
  key: string;
  /** Of the message's thread, as all writes about the message. */
  shard: number;
  delivery: StoredDelivery;
  /** Resolves when it is known whether it is stored. */
  stored: Promise<void>;
  /** Whether it is stored, and so to be sent; not when its event had been stored before. */
  isStored: boolean;
  /** Whether the attempt that comes next has been counted by the commit that stored the delivery. */
  isCounted: boolean;
  /** Found claimed at the start: its attempt ended with the process. Begun a few at a time. */
  wasInterrupted: boolean;
  /** Whether it has waited as long as one that was interrupted has to. */
  hasWaited?: boolean;
  /** The turn that it has, among the deliveries to its target or among the interrupted ones. */
  turn?: string | undefined;
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

/** A new delivery on its way; `markStored` tells what the commit has made of it. */
export function toNewEntry(
  delivery: StoredDelivery,
  { shard, stored }: { shard: number; stored: Promise<void> },
): OutboxEntry {
  return toEntry(delivery, { id: "", shard, stored, isStored: false });
}

/** After the commit of its event; false where that had been stored before. */
export function markStored(entry: OutboxEntry, event: StoredEvent | undefined): boolean {
  if (!event?.isNew) return false;
  entry.delivery.eventId = event.eventId;
  entry.id = idOf(entry.delivery);
  entry.isStored = true;
  return true;
}

/** A delivery as the database holds it. */
export function toLoadedEntry(delivery: StoredDelivery): OutboxEntry {
  const shard = shardOf(threadKey({ ...delivery, gateway: delivery.originGateway }));
  return toEntry(delivery, { id: idOf(delivery), shard, stored: Promise.resolve(), isStored: true });
}

function toEntry(
  delivery: StoredDelivery,
  more: Pick<OutboxEntry, "id" | "shard" | "stored" | "isStored">,
): OutboxEntry {
  return {
    ...more,
    key: laneOf(delivery),
    delivery,
    isCounted: false,
    wasInterrupted: delivery.status === "claimed",
    isForgotten: false,
  };
}

/** One delivery of an event; the same object is written and kept in memory. */
export function newDelivery(
  message: StoredMessage,
  of: { target: Target; event: EventToStore; deliveryId: string; eventId?: number },
): StoredDelivery {
  const { event, target } = of;
  return {
    eventId: of.eventId ?? 0,
    gateway: target.gateway,
    target: target.target,
    deliveryId: of.deliveryId,
    status: "pending",
    attempts: 0,
    interruptions: 0,
    nextRetryAt: null,
    lastError: null,
    deliveredAt: null,
    round: 0,
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
    (made[index]?.toSubscribers ?? []).map((to) =>
      newDelivery(message, {
        event,
        target: to,
        deliveryId: to.deliveryId,
        eventId: made[index]?.eventId ?? 0,
      }),
    ),
  );
}

function laneOf({ gateway, target, threadTs }: StoredDelivery): string {
  return threadKey({ gateway, channelId: target, threadTs });
}

/**
 * What tells a stored delivery from all others in memory. One that a person has tried again while its end was being
 * written takes its place behind itself.
 */
export function idOf({ eventId, gateway, target, round }: StoredDelivery): string {
  return `${eventId}\0${gateway}\0${target}\0${round}`;
}
