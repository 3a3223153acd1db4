/** What every part of the store's suite starts from: an empty database, and builders with known values. */
import { randomUUID } from "node:crypto";
import { onTestFinished } from "vitest";
import type {
  DeliveryChange,
  MessageChange,
  NewDelivery,
  NewEvent,
  Ownership,
  Store,
  StoredDelivery,
  StoredMessage,
} from "../../core/store.ts";
import { aMessage } from "../builders.ts";
import type { TestEnd } from "../temporary-folder.ts";

/** An implementation of core's `Store`, as the suite meets it. */
export interface StoreKind {
  /** The location of an empty database, gone after the test. */
  create(t: TestEnd): Promise<string>;
  open(location: string): Promise<Store>;
  /** Whether several processes own a database side by side, each a part of it. */
  isShared?: boolean;
  /** Makes another process the owner behind the back of the present one, as if that had been frozen. */
  takeOver(location: string): Promise<void>;
}

export interface OpenedForTest {
  location: string;
  store: Store;
  /** Another process's view of the same database, closed after the test. */
  openAnother(): Promise<Store>;
  own(gateways?: string[]): Promise<Ownership>;
}

export type SetUp = () => Promise<OpenedForTest>;

/** Opens an empty database for the test that calls it. */
export function setUpWith(kind: StoreKind): SetUp {
  return async () => {
    const location = await kind.create({ onTestFinished });
    const openAnother = async () => {
      const store = await kind.open(location);
      onTestFinished(() => store.close());
      return store;
    };
    const store = await openAnother();
    const own = (gateways = ["a", "b"]) => store.own({ owner: "first", gateways, now: 1000 });
    return { location, store, openAnother, own };
  };
}

/** How a message is accepted where the test does not care. */
export const PENDING = { shard: 0, status: "pending", attempts: 0 } as const;

/** A stored message of gateway "a" and its id. */
export async function accepted(ownership: Ownership, more: Partial<Parameters<typeof aMessage>[0]> = {}) {
  const message = aMessage({ gateway: "a", ...more });
  const { conversationId } = await ownership.accept(message, PENDING);
  return { message, conversationId };
}

export function aChange(conversationId: number, more: Partial<MessageChange> = {}): MessageChange {
  return {
    conversationId,
    status: "claimed",
    attempts: 1,
    interruptions: 0,
    nextAttemptAt: null,
    lastError: null,
    ...more,
  };
}

export function anEvent(conversationId: number, more: Partial<NewEvent> = {}): NewEvent {
  return {
    conversationId,
    sequence: 1,
    kind: "completed",
    content: "done",
    worker: null,
    createdAt: 2000,
    deliveries: [aDelivery()],
    ...more,
  };
}

export function aDelivery(more: Partial<NewDelivery> = {}): NewDelivery {
  return { gateway: "a", target: "C1", deliveryId: randomUUID(), status: "pending", attempts: 0, ...more };
}

export function aDeliveryChange(eventId: number, more: Partial<DeliveryChange> = {}): DeliveryChange {
  const open = {
    status: "claimed",
    attempts: 1,
    interruptions: 0,
    nextRetryAt: null,
    lastError: null,
    deliveredAt: null,
  } as const;
  return { eventId, gateway: "a", target: "C1", ...open, ...more };
}

/** What became of a delivery that arrived. */
export function arrived(eventId: number, more: Partial<DeliveryChange> = {}): DeliveryChange {
  return aDeliveryChange(eventId, { status: "done", deliveredAt: 3000, ...more });
}

/** An event of a new message, stored with one delivery for each target. */
export async function storedEvent(ownership: Ownership, targets = [{ gateway: "a", target: "C1" }]) {
  const { conversationId, message } = await accepted(ownership);
  const deliveries = targets.map((target) => aDelivery(target));
  const [event] = await ownership.record({ shard: 0, events: [anEvent(conversationId, { deliveries })] });
  return { message, conversationId, eventId: event?.eventId ?? 0, deliveries };
}

/** All open messages, and all open deliveries. */
export async function openWork(
  ownership: Ownership,
): Promise<{ messages: StoredMessage[]; deliveries: StoredDelivery[] }> {
  const page = { after: 0, limit: 10_000 };
  return { messages: await ownership.openMessages(page), deliveries: await ownership.openDeliveries(page) };
}
