/**
 * Station 4 of a message's way: events waiting to be delivered. `record` stores events with one delivery for
 * each target in one transaction, and with them whatever ends with them; each delivery's place in its lane
 * (gateway, target, thread) is taken at that call. A lane waits for its first delivery until that has arrived
 * or is a dead letter, so that a thread's events arrive in order; a progress event that failed gives way.
 */
import { type Admission, Backlog, roomTaken } from "./backlog.ts";
import { type DeliverOptions, deliver } from "./delivery.ts";
import { hasCode } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { type Lane, Lanes } from "./lanes.ts";
import {
  type EventToStore,
  idOf,
  markStored,
  type OutboxEntry,
  toLoadedEntry,
  toSubscribers,
} from "./outbox-entry.ts";
import {
  type ChangeWithEvents,
  checkedTargets,
  NOWHERE,
  type Recording,
  type RecordToDeliver,
  type Targets,
  toRecord,
  toRecording,
} from "./outbox-record.ts";
import { type PersistOptions, persist } from "./persist.ts";
import { toReceived } from "./received.ts";
import { toDelivery } from "./send-attempt.ts";
import type { ShardKey } from "./shards.ts";
import type { Change, StoredDelivery, StoredEvent, StoredMessage } from "./store.ts";
import { toStorable } from "./text.ts";
import { Turns } from "./turns.ts";

export interface OutboxOptions
  extends Omit<DeliverOptions, "persist" | "gateway">,
    Omit<PersistOptions, "onRepeated"> {
  gateways: ReadonlyMap<string, Gateway>;
  /** See `Lanes` and `Backlog`. */
  onBug(error: unknown): void;
  onReadError(error: unknown, failures: number): Promise<void>;
  /** Called after each commit that may have stored events. */
  onEvents(): void;
  /** See `Tenure`. */
  holds(gateway: string | null, shard: number): boolean;
  onEnded(): void;
}

/** How many deliveries that were interrupted are begun at once, for each gateway. */
const MAX_INTERRUPTED_AT_ONCE = 4;
/** How many deliveries of a gateway are begun, and counted, by the commit that stores them; each beyond it is a write more. */
const MAX_AHEAD = 256;

export class Outbox {
  readonly #options: OutboxOptions & PersistOptions;
  readonly #lanes: Map<string, Lanes<OutboxEntry>>;
  readonly #backlog: Backlog<StoredDelivery>;
  readonly #turns: Turns;
  /** The deliveries in memory whose event has its id. */
  readonly #loaded = new Set<string>();
  /** The shards of events that are being stored, or have yet to be read, with their deliveries; an object for each. */
  readonly #recording = new Set<ShardKey>();
  #loadedCount = 0;
  /** How much text these hold, in UTF-16 units. */
  #loadedText = 0;

  constructor(options: OutboxOptions) {
    const { ownership, gateways, limits } = options;
    // An earlier try may have stored the deliveries that memory now takes for known: look for them.
    this.#options = { ...options, onRepeated: () => this.#backlog.fallBehind() };
    this.#turns = new Turns((laneKey) => this.#resume(laneKey));
    this.#lanes = new Map(
      [...gateways.values()].map((gateway) => [gateway.name, this.#createLanes(gateway)]),
    );
    this.#backlog = new Backlog({
      read: (page) => ownership.openDeliveries(page),
      idOf: (delivery) => delivery.eventId,
      keyOf: idOf,
      textOf: ({ content }) => content,
      load: (delivery) => this.#load(delivery),
      loadedCount: () => this.#roomTaken(),
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

  /** Reads the open deliveries: at the start, and when shards have come. */
  reread(): void {
    this.#backlog.fallBehind();
  }

  /** The same when another process may have added some. */
  readAgain(): void {
    this.#backlog.readAgain();
  }

  /**
   * Commits a change of a message together with its events and their deliveries. Keeps trying while the
   * database is away. Rejects with `LEASE_LOST` or `STORE_REFUSED_ROW`; then nothing was stored.
   */
  async record(message: StoredMessage, change: ChangeWithEvents): Promise<void> {
    const prepared = this.#prepared(message, change);
    const { write } = prepared;
    if (prepared.targets.length === 0 && prepared.subscribersOf === undefined) {
      this.#tellStored(message, { events: write.events, made: await persist(this.#options, write) });
      return;
    }
    const admitted = this.#backlog.admit();
    const admission = typeof admitted === "string" ? admitted : await admitted;
    const recording = toRecording(message, { record: prepared, admission, holds: this.#options.holds });
    try {
      // The places in the lanes are taken, those that are ours, and then it is committed.
      this.#begin(recording, admission);
      const { wakes } = recording;
      const made = await persist(this.#options, wakes.length === 0 ? write : { ...write, wakes });
      this.#learnStored(recording.entries, { made, admission });
      this.#tellStored(message, { events: write.events, made });
      if (prepared.subscribersOf !== undefined)
        this.#loadToSubscribers(toSubscribers(message, { events: write.events, made }), admission);
    } finally {
      this.#end(recording, admission);
    }
  }

  /** See `Holder`. */
  forget(isLeft: (key: ShardKey) => boolean): void {
    for (const lanes of this.#lanes.values()) {
      const left = lanes.remove(({ delivery, shard }) => isLeft({ gateway: delivery.gateway, shard }));
      for (const entry of left) this.#forget(entry);
    }
  }

  *busy(): Iterable<ShardKey> {
    yield* this.#recording;
    for (const lanes of this.#lanes.values())
      for (const { delivery, shard } of lanes.active()) yield { gateway: delivery.gateway, shard };
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

  /** The same, of what has yet to come to memory too, as far as there is room. */
  drained(): Promise<void> {
    return this.#backlog.drained(() => this.idle());
  }

  #prepared(message: StoredMessage, change: ChangeWithEvents): RecordToDeliver {
    // Without events nobody is asked where they go: a gateway that fails at it must not stop a message's end.
    return toRecord(message, { change, to: change.events.length === 0 ? NOWHERE : this.#targetsOf(message) });
  }

  #begin({ entries, busy }: Recording, admission: Admission): void {
    for (const key of busy) this.#recording.add(key);
    if (admission === "live") for (const ofOne of entries) for (const entry of ofOne) this.#enterNew(entry);
  }

  #end({ stored, busy }: Recording, admission: Admission): void {
    stored.resolve();
    this.#backlog.end(admission);
    const leave = () => {
      for (const key of busy) this.#recording.delete(key);
      this.#options.onEnded();
    };
    if (admission === "live") leave();
    else void this.#backlog.readingEnded().then(leave);
  }

  /** Only the commit tells who subscribes: these take their places in the order of the commits. */
  #loadToSubscribers(deliveries: StoredDelivery[], admission: Admission): void {
    for (const delivery of deliveries) {
      if (admission === "live") this.#load(delivery);
      else this.#backlog.stored(delivery);
    }
  }

  /** What the commit has made of the deliveries of each event. */
  #learnStored(
    entries: OutboxEntry[][],
    { made, admission }: { made: StoredEvent[]; admission: Admission },
  ): void {
    for (const [index, ofOne] of entries.entries()) {
      for (const entry of ofOne) {
        if (!markStored(entry, made[index])) continue;
        if (admission === "behind") this.#backlog.stored(entry.delivery);
        else if (!entry.isForgotten) {
          // Wherever it stands in its lane: a reading must not load it a second time.
          this.#loaded.add(entry.id);
          this.#giveWay(entry);
        }
      }
    }
  }

  #tellStored(
    message: StoredMessage,
    { events, made }: { events: EventToStore[]; made: StoredEvent[] },
  ): void {
    if (made.length > 0) this.#options.onEvents();
    for (const [index, { kind, content, worker, createdAt }] of events.entries()) {
      const { eventId: id, isNew } = made[index] ?? {};
      if (id === undefined || !isNew) continue;
      this.#options.hooks.tellOf("event.stored", message, {
        event: { id, kind, content, worker, createdAt },
      });
    }
  }

  #createLanes(gateway: Gateway): Lanes<OutboxEntry> {
    const options = {
      ...this.#options,
      gateway,
      persist: (change: Change) => persist(this.#options, change),
    };
    return new Lanes<OutboxEntry>({
      clock: this.#options.clock,
      slots: this.#options.limits.maxConcurrentSends,
      maxAhead: MAX_AHEAD,
      run: (entry, lane) => this.#run(entry, { lane, options }),
      onBug: (error, entry) => {
        this.#leave(entry);
        this.#options.onBug(error);
      },
      counts: ({ isStored }) => isStored,
      onHeldCount: () => this.#backlog.catchUp(),
    });
  }

  async #run(
    entry: OutboxEntry,
    { lane, options }: { lane: Lane; options: DeliverOptions },
  ): Promise<number | undefined> {
    await entry.stored;
    if (!entry.isStored) return this.#leave(entry);
    const slot = lane.takeSlot();
    if (slot) await slot;
    if (!(entry.isCounted || this.#holds(entry))) return this.#forget(entry);
    // One target that hangs must not take all the slots.
    if (entry.turn === undefined) {
      const turn = this.#turnOf(entry);
      if (!this.#turns.take({ ...turn, laneKey: entry.key })) return Number.POSITIVE_INFINITY;
      entry.turn = turn.kind;
    }
    let heldUntil: number | undefined;
    try {
      const onSent = () => this.#onSent(entry, lane);
      heldUntil = await deliver(entry, { place: { lane, onSent }, options });
    } catch (error) {
      this.#endClosed(error, entry);
    }
    this.#giveTurn(entry);
    this.#options.onEnded();
    if (heldUntil !== undefined && !this.#holds(entry)) return this.#forget(entry);
    return heldUntil ?? this.#leave(entry);
  }

  /** What is left is a commit, and takes no room; but a process that is often interrupted is to have few under way. */
  #onSent(entry: OutboxEntry, lane: Lane): void {
    if (entry.wasInterrupted) return;
    this.#giveTurn(entry);
    lane.freeSlot();
  }

  #turnOf({ delivery, wasInterrupted }: OutboxEntry): { kind: string; max: number } {
    const { gateway, target } = delivery;
    // All at once, they would all be interrupted again by a process that does not live long.
    if (wasInterrupted) return { kind: `${gateway}\0interrupted`, max: MAX_INTERRUPTED_AT_ONCE };
    return { kind: `${gateway}\0${target}`, max: this.#options.limits.maxConcurrentSendsPerTarget };
  }

  #giveTurn(entry: OutboxEntry): void {
    if (entry.turn === undefined) return;
    this.#turns.give(entry.turn);
    entry.turn = undefined;
    entry.wasInterrupted = false;
  }

  /** Someone has closed the delivery while it was in memory: it ends here too. */
  #endClosed(error: unknown, { delivery }: OutboxEntry): void {
    if (!hasCode(error, "DELIVERY_CLOSED")) throw error;
    const { deliveryId, eventId, conversationId, gateway } = delivery;
    this.#options.log.info(
      { deliveryId, eventId, conversationId, gateway },
      "delivery closed by someone else",
    );
    this.#options.hooks.tell("delivery.ended", () => ({ delivery: toDelivery(delivery), outcome: "closed" }));
  }

  /** The gateway that the message came through; for a message of none, every gateway's own channel. */
  #targetsOf(message: StoredMessage): Targets {
    const { gateways } = this.#options;
    if (message.gateway === null) {
      const targets = [...gateways.values()].flatMap(({ name, defaultChannelId }) =>
        defaultChannelId === undefined ? [] : [{ gateway: name, target: defaultChannelId }],
      );
      // Through one gateway: of a subscriber's two copies one would be a duplicate.
      const broadcaster = [...gateways.values()].find(
        ({ hasSubscribers, defaultChannelId }) => hasSubscribers && defaultChannelId === undefined,
      );
      return { targets, ...(broadcaster ? { subscribersOf: broadcaster.name } : {}) };
    }
    const { gateway: name } = message;
    const gateway = gateways.get(name);
    if (!gateway?.targets) return { targets: [{ gateway: name, target: message.channelId }] };
    const targets = checkedTargets(gateway, gateway.targets(toReceived(message)));
    if (targets.length === 0 && gateway.hasSubscribers) return { targets: [], subscribersOf: name };
    // Twice the same target would be the same delivery, and refused.
    return { targets: [...new Set(targets.map(toStorable))].map((target) => ({ gateway: name, target })) };
  }

  /** Takes the place in the lane; when the lane is free, the commit counts the attempt that begins after it. */
  #enterNew(entry: OutboxEntry): void {
    this.#arrive(entry);
    const begins = this.#lanes.get(entry.delivery.gateway)?.enterAhead(entry.key, entry) ?? false;
    const turn = this.#turnOf(entry);
    if (!(begins && this.#turns.takeIfFree(turn))) return;
    entry.turn = turn.kind;
    entry.isCounted = true;
    entry.delivery.status = "claimed";
    entry.delivery.attempts = 1;
  }

  /** Progress that failed and waits for its retry is old news now. */
  #giveWay({ key, delivery }: OutboxEntry): void {
    const lanes = this.#lanes.get(delivery.gateway);
    if (lanes?.first(key)?.delivery.kind === "progress") lanes.resume(key);
  }

  #resume(laneKey: string): void {
    for (const lanes of this.#lanes.values()) lanes.resume(laneKey);
  }

  #roomTaken(): number {
    const { limits } = this.#options;
    if (this.#loadedText >= limits.maxLoadedText) return Number.POSITIVE_INFINITY;
    let held = 0;
    for (const lanes of this.#lanes.values()) held += lanes.heldCount;
    return roomTaken({ loaded: this.#loadedCount, held, limits });
  }

  #arrive({ delivery }: OutboxEntry): void {
    this.#loadedCount += 1;
    this.#loadedText += delivery.content.length;
  }

  #load(delivery: StoredDelivery): void {
    if (this.#loaded.has(idOf(delivery))) return;
    const lanes = this.#lanes.get(delivery.gateway);
    const entry = toLoadedEntry(delivery);
    if (!(lanes && this.#holds(entry))) return;
    this.#loaded.add(entry.id);
    this.#arrive(entry);
    lanes.enter(entry.key, entry);
    this.#giveWay(entry);
  }

  #holds({ delivery, shard }: OutboxEntry): boolean {
    return this.#options.holds(delivery.gateway, shard);
  }

  /** Another process delivers it. */
  #forget(entry: OutboxEntry): undefined {
    entry.isForgotten = true;
    this.#turns.leave({ kind: this.#turnOf(entry).kind, laneKey: entry.key });
    return this.#leave(entry);
  }

  #leave(entry: OutboxEntry): undefined {
    this.#giveTurn(entry);
    this.#loaded.delete(entry.id);
    this.#loadedCount -= 1;
    this.#loadedText -= entry.delivery.content.length;
    this.#backlog.ended(entry.id);
  }
}
