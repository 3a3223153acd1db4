/**
 * Station 4 of a message's way: events waiting to be delivered. `record` stores events with one delivery for
 * each target in one transaction, and with them whatever ends with them; each delivery's place in its lane
 * (gateway, target, thread) is taken at that call. A lane waits for its first delivery until that has arrived
 * or is a dead letter, so that a thread's events arrive in order; a progress event that failed gives way.
 */
import { randomUUID } from "node:crypto";
import { Backlog } from "./backlog.ts";
import { type DeliverOptions, deliver } from "./delivery.ts";
import type { Gateway } from "./gateway.ts";
import { Lanes } from "./lanes.ts";
import { type PersistOptions, persist } from "./persist.ts";
import { toReceived } from "./received.ts";
import { shardOf, threadKey } from "./shards.ts";
import type { Change, MessageChange, NewEvent, StoredDelivery, StoredEvent, StoredMessage } from "./store.ts";

/** A delivery in memory. */
export interface OutboxEntry {
  /** The lane: gateway, target and thread. */
  key: string;
  /** Of the message's thread, as all writes about the message. */
  shard: number;
  delivery: StoredDelivery;
  /** False when its event was not stored now, or had been stored before. */
  stored: Promise<boolean>;
  /** Whether the attempt that comes next has been counted by the commit that stored the delivery. */
  isCounted: boolean;
}

/** An event as the dispatcher hands it over; its deliveries are made here. */
export type EventToStore = Omit<NewEvent, "deliveries" | "conversationId">;

export interface OutboxOptions
  extends Omit<DeliverOptions, "persist" | "gateway" | "hasLater">,
    PersistOptions {
  gateways: ReadonlyMap<string, Gateway>;
  /** See `Lanes` and `Backlog`. */
  onBug(error: unknown): void;
  onReadError(error: unknown): Promise<void>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #lanes: Map<string, Lanes<OutboxEntry>>;
  readonly #backlog: Backlog<StoredDelivery>;
  /** The deliveries in memory whose event has its id. */
  readonly #loaded = new Set<string>();
  #loadedCount = 0;

  constructor(options: OutboxOptions) {
    const { ownership, gateways, limits } = options;
    this.#options = options;
    this.#lanes = new Map(
      [...gateways.values()].map((gateway) => [gateway.name, this.#createLanes(gateway)]),
    );
    this.#backlog = new Backlog({
      read: (page) => ownership.openDeliveries(page),
      idOf: (delivery) => delivery.eventId,
      keyOf: idOf,
      load: (delivery) => this.#load(delivery),
      loadedCount: () => this.#loadedCount,
      maxLoaded: limits.maxLoaded,
      onLive: () => undefined,
      onReadError: options.onReadError,
    });
  }

  get loadedCount(): number {
    return this.#loadedCount;
  }

  get isCaughtUp(): boolean {
    return this.#backlog.isLive;
  }

  /** Reads the open deliveries: at the start, and when another process may have changed them. */
  reread(): void {
    this.#backlog.fallBehind();
  }

  /**
   * Commits a change of a message together with its events and their deliveries. Keeps trying while the
   * database is away. Rejects with `LEASE_LOST` or `STORE_REFUSED_ROW`; then nothing was stored.
   */
  async record(
    message: StoredMessage,
    change: { message?: MessageChange; events: EventToStore[] },
  ): Promise<void> {
    const shard = shardOf(threadKey(message));
    const ofEvent = change.events.map((event) => this.#deliveriesOf(event, message));
    const events = change.events.map((event, index) => ({
      ...event,
      conversationId: message.conversationId,
      deliveries: ofEvent[index] ?? [],
    }));
    const write: Change = { shard, ...(change.message ? { message: change.message } : {}), events };
    if (ofEvent.every(({ length }) => length === 0)) {
      await this.#persist(write);
      return;
    }
    const admission = await this.#backlog.admit();
    const stored = Promise.withResolvers<StoredEvent[]>();
    try {
      const entries = ofEvent.flatMap((deliveries, index) =>
        deliveries.map((delivery) => this.#toEntry(delivery, { shard, stored: stored.promise, index })),
      );
      if (admission === "live") for (const entry of entries) this.#enterNew(entry);
      stored.resolve(await this.#persist(write));
      if (admission === "live") return;
      for (const entry of entries) if (await entry.stored) this.#backlog.stored(entry.delivery);
    } catch (error) {
      stored.resolve([]);
      throw error;
    } finally {
      this.#backlog.end(admission);
    }
  }

  /** Begins no further attempt. */
  stop(): void {
    this.#backlog.stop();
    for (const lanes of this.#lanes.values()) lanes.stop();
  }

  /** Resolves when no attempt is under way and none waits for a slot; retries to come do not count. */
  async idle(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lanes) => lanes.idle()));
  }

  async #persist(change: Change): Promise<StoredEvent[]> {
    const { events, isRepeated } = await persist(this.#options, change);
    // An earlier try may have stored the deliveries that memory now takes for known: look for them.
    if (isRepeated) this.#backlog.fallBehind();
    return events;
  }

  #createLanes(gateway: Gateway): Lanes<OutboxEntry> {
    return new Lanes<OutboxEntry>({
      clock: this.#options.clock,
      slots: this.#options.limits.maxConcurrentSends,
      run: async (entry, lane) => {
        if (!(await entry.stored)) return this.#leave(entry);
        const heldUntil = await deliver(entry, {
          ...this.#options,
          gateway,
          hasLater: lane.hasLater,
          persist: (change) => this.#persist(change),
        });
        return heldUntil ?? this.#leave(entry);
      },
      onBug: (error, entry) => {
        this.#leave(entry);
        this.#options.onBug(error);
      },
      yieldsToLater: ({ delivery }) => delivery.kind === "progress",
    });
  }

  /** The gateway that the message came through; for a message of none, every gateway's own channel. */
  #targetsOf(message: StoredMessage): { gateway: string; target: string }[] {
    if (message.gateway === null) {
      return [...this.#options.gateways.values()].flatMap(({ name, defaultChannelId }) =>
        defaultChannelId === undefined ? [] : [{ gateway: name, target: defaultChannelId }],
      );
    }
    const gateway = this.#options.gateways.get(message.gateway);
    const targets = gateway?.targets?.(toReceived(message)) ?? [message.channelId];
    return targets.map((target) => ({ gateway: message.gateway ?? "", target }));
  }

  /** The event's deliveries, one for each target; the same objects are written and kept in memory. */
  #deliveriesOf(event: EventToStore, message: StoredMessage): StoredDelivery[] {
    return this.#targetsOf(message).map(({ gateway, target }) => ({
      eventId: 0,
      gateway,
      target,
      deliveryId: randomUUID(),
      status: "pending",
      attempts: 0,
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
    }));
  }

  #toEntry(
    delivery: StoredDelivery,
    write: { shard: number; stored: Promise<StoredEvent[]>; index: number },
  ) {
    const stored = write.stored.then((events) => {
      const event = events[write.index];
      if (!event?.isNew) return false;
      delivery.eventId = event.eventId;
      return true;
    });
    return { key: laneOf(delivery), shard: write.shard, delivery, stored, isCounted: false };
  }

  /** Takes the place in the lane; when the lane is free, the commit counts the attempt that begins after it. */
  #enterNew(entry: OutboxEntry): void {
    this.#loadedCount += 1;
    entry.isCounted = this.#lanes.get(entry.delivery.gateway)?.enter(entry.key, entry) ?? false;
    if (entry.isCounted) Object.assign(entry.delivery, { status: "claimed", attempts: 1 });
    // As soon as it has its id, wherever it stands in its lane: a reading must not load it a second time.
    void entry.stored.then((isOurs) => isOurs && this.#loaded.add(idOf(entry.delivery)));
  }

  #load(delivery: StoredDelivery): void {
    if (this.#loaded.has(idOf(delivery))) return;
    const lanes = this.#lanes.get(delivery.gateway);
    if (!lanes) return;
    this.#loaded.add(idOf(delivery));
    this.#loadedCount += 1;
    const shard = shardOf(threadKey({ ...delivery, gateway: delivery.originGateway }));
    const stored = Promise.resolve(true);
    lanes.enter(laneOf(delivery), { key: laneOf(delivery), shard, delivery, stored, isCounted: false });
  }

  #leave(entry: OutboxEntry): undefined {
    this.#loaded.delete(idOf(entry.delivery));
    this.#loadedCount -= 1;
    this.#backlog.ended(idOf(entry.delivery));
  }
}

function laneOf({ gateway, target, threadTs }: StoredDelivery): string {
  return threadKey({ gateway, channelId: target, threadTs });
}

function idOf({ eventId, gateway, target }: StoredDelivery): string {
  return `${eventId}\0${gateway}\0${target}`;
}
