/**
 * Station 1 of a message's way: accepted once, by its idempotency key, and handled in the order of its thread.
 * A message's place in its lane is taken when `accept` is called; its handling begins after the commit. A crash
 * at any point leaves the message stored and open, or not stored and unacknowledged.
 */
import type { Admitted } from "./admission.ts";
import { Backlog, roomTaken } from "./backlog.ts";
import type { Clock } from "./clock.ts";
import { hasCode } from "./errors.ts";
import type { Accepted } from "./gateway.ts";
import type { HookRegistry } from "./hooks.ts";
import { type DispatchOutcome, type InboxEntry, stoppingError, toEntry, toStored } from "./inbox-entry.ts";
import { byAcceptance, InboxLanes } from "./inbox-lanes.ts";
import { IN_ORDER, type Lane } from "./lanes.ts";
import type { Limits } from "./limits.ts";
import { LoadedMessages } from "./loaded-messages.ts";
import type { Logger } from "./logger.ts";
import type { Overload } from "./overload.ts";
import { Refusals } from "./refusals.ts";
import { type ShardKey, shardOf, threadKey } from "./shards.ts";
import type { AcceptedByOwner, NewMessage, Ownership, StoredMessage } from "./store.ts";
import type { StoreHealth } from "./store-health.ts";
import { Taking } from "./taking.ts";

export interface InboxOptions {
  ownership: Ownership;
  clock: Clock;
  limits: Limits;
  log: Logger;
  hooks: HookRegistry;
  storeHealth: StoreHealth;
  overload: Pick<Overload, "count" | "isCounting" | "ended">;
  dispatch(entry: InboxEntry): Promise<DispatchOutcome>;
  /** Writes that the attempt does not begin which the commit that stored the message counted, if it did. */
  uncount(entry: InboxEntry): Promise<void>;
  /** The entry is another process's to handle: it waits for no turn here any more. */
  leaveTurns(entry: InboxEntry): void;
  /** See `Tenure`. */
  holds(gateway: string | null, shard: number): boolean;
  /** Ends a message that is in memory; see `LoopControl`. */
  stop(conversationId: number, by: string): void;
  onEnded(): void;
  /** A run waits until that instant. */
  onRunWaits(until: number): void;
  /** Whether the loop itself is meant: such a message waits behind no limit of admission. */
  isControl(content: string): boolean;
  /** See `Lanes` and `Backlog`. */
  onBug(error: unknown): void;
  onReadError(error: unknown, failures: number): Promise<void>;
}

/** The wait after an error that is a fault of this program. */
const BUG_RETRY_MS = 60_000;

export class Inbox {
  readonly #options: InboxOptions;
  readonly #lanes: InboxLanes;
  readonly #backlog: Backlog<StoredMessage>;
  readonly #loaded = new LoadedMessages();
  readonly #cancelRetries = new Map<number, () => void>();
  /** The shards of messages that are being stored, an object for each. */
  readonly #accepting = new Set<ShardKey>();
  readonly #taking: Taking;
  readonly #refusals: Refusals;
  #isStopped = false;

  constructor(options: InboxOptions) {
    const { ownership, clock, limits } = options;
    this.#options = options;
    this.#lanes = new InboxLanes({
      clock,
      limits,
      run: (entry, lane) => this.#run(entry, lane),
      onBug: options.onBug,
      onHeldCount: () => this.#backlog.catchUp(),
    });
    this.#backlog = new Backlog({
      read: (page) => ownership.openMessages(page),
      idOf: (message) => message.conversationId,
      keyOf: (message) => message.conversationId,
      textOf: ({ content }) => content,
      load: (message) => this.#load(message),
      loadedCount: () => this.#roomTaken(),
      maxLoaded: limits.maxLoaded,
      onLive: () => void this.takeUnowned(),
      onReadError: options.onReadError,
    });
    this.#taking = new Taking({
      ...options,
      isLive: () => this.#backlog.isLive,
      roomTaken: () => this.#roomTaken(),
      load: (message) => this.#load(message),
      known: (message) => this.#known(message),
      tellAccepted: (message) => this.#tellAccepted(message),
      reached: (id) => this.#backlog.reached(id),
      fallBehind: () => this.#backlog.fallBehind(),
    });
    this.#refusals = new Refusals({ ownership, dispatch: (entry) => this.#dispatch(entry) });
  }

  get loadedCount(): number {
    return this.#loaded.size;
  }

  /** Whether all open work is in memory, and how much is open is known. */
  get isCaughtUp(): boolean {
    return this.#backlog.isLive && !this.#options.overload.isCounting;
  }

  /** Takes up what is open from before. */
  start(): void {
    void this.#options.overload.count();
    this.#backlog.catchUp();
  }

  /** Stores a message and puts it in its lane. Resolves after the commit. */
  async accept(message: NewMessage, admitted: Admitted): Promise<Accepted> {
    const key = { gateway: message.gateway, shard: shardOf(threadKey(message)) };
    const asked = this.#backlog.admit();
    const admission = typeof asked === "string" ? asked : await asked;
    this.#accepting.add(key);
    try {
      if (this.#isStopped) throw stoppingError();
      const accepted = await this.#store(message, { ...key, admitted, isLive: admission === "live" });
      this.#options.storeHealth.worked();
      return { conversationId: accepted.conversationId, isDuplicate: accepted.isDuplicate };
    } catch (error) {
      this.#options.storeHealth.failed(error);
      // It may have been stored all the same: then it is open, and has to be found.
      if (hasCode(error, "STORE_UNAVAILABLE")) this.#backlog.becomeUncertain(this.#options.clock.now());
      throw error;
    } finally {
      this.#backlog.end(admission);
      this.#accepting.delete(key);
      this.#options.onEnded();
    }
  }

  /** See `Holder`. What is being stored is found by whoever reads the database after it. */
  forget(isLeft: (key: ShardKey) => boolean): void {
    const matches = ({ message, shard }: InboxEntry) => isLeft({ gateway: message.gateway, shard });
    for (const entry of this.#lanes.remove(matches)) this.#forget(entry);
    for (const [id, cancel] of this.#cancelRetries) {
      const entry = this.#loaded.get(id);
      if (!entry || !matches(entry)) continue;
      cancel();
      this.#cancelRetries.delete(id);
      this.#forget(entry);
    }
  }

  *busy(): Iterable<ShardKey> {
    yield* this.#accepting;
    for (const { message, shard } of this.#lanes.running()) yield { gateway: message.gateway, shard };
  }

  /** Reads the open messages again. */
  reread(): void {
    this.#backlog.fallBehind();
  }

  /** Runs the first message of a lane that was held. */
  resume(key: string): void {
    this.#lanes.resume(key);
  }

  /** The messages in memory that are stored, in the order of their acceptance. */
  entries(): InboxEntry[] {
    const entries = [...this.#loaded].flatMap(([id, entry]) => (typeof id === "number" ? [entry] : []));
    return entries.sort((a, b) => a.message.conversationId - b.message.conversationId);
  }

  entry(conversationId: number): InboxEntry | undefined {
    return this.#loaded.get(conversationId);
  }

  /** Has a message that someone wants ended looked at now, where it waits for a later attempt or for a slot. */
  hasten({ key, message }: InboxEntry): void {
    const entry = this.#loaded.get(message.conversationId);
    const cancel = this.#cancelRetries.get(message.conversationId);
    this.#cancelRetries.delete(message.conversationId);
    cancel?.();
    if (cancel && entry) this.#lanes.enter(entry);
    else if (!(entry && this.#lanes.hurry(entry))) this.resume(key);
  }

  /** See `Taking`. */
  takeUnowned(): Promise<void> {
    return this.#taking.take();
  }

  /** Reads the open messages again, where a write's outcome has been unknown not long ago. */
  rereadIfUncertain(): void {
    this.#backlog.rereadIfUncertain(this.#options.clock.now());
  }

  /** Accepts nothing and begins nothing more. What is stored and not begun stays for the next start. */
  stop(): void {
    this.#isStopped = true;
    this.#taking.stop();
    this.#lanes.stop();
    this.#backlog.stop();
    for (const cancel of this.#cancelRetries.values()) cancel();
  }

  /** Resolves when nothing is handled and nothing waits for a slot; retries to come do not count. */
  idle(): Promise<void> {
    return this.#lanes.idle();
  }

  #store(
    message: NewMessage,
    { admitted, shard, isLive }: { admitted: Admitted; shard: number; isLive: boolean },
  ): Promise<Accepted> {
    const { ownership, holds } = this.#options;
    const { isControl, refusal } = admitted;
    if (holds(message.gateway, shard))
      return isLive || isControl ? this.#acceptLive(message, admitted) : this.#acceptBehind(message, shard);
    if (refusal !== undefined) return this.#refusals.refuse(message, { shard, refusal });
    return ownership.accept(message, { shard, status: "pending", attempts: 0, isForOther: true });
  }

  async #acceptLive(message: NewMessage, admitted: Admitted): Promise<Accepted> {
    const stored = Promise.withResolvers<boolean>();
    const entry = toEntry(toStored(message), { ...admitted, stored: stored.promise });
    entry.isTold = true;
    this.#loaded.set(message.id, entry);
    entry.isCounted = this.#lanes.enter(entry);
    let isOurs = false;
    let taken: Promise<boolean> | undefined;
    const takenBefore = this.#taking.count;
    try {
      const begun = entry.isCounted
        ? ({ status: "claimed", attempts: 1 } as const)
        : ({ status: "pending", attempts: 0 } as const);
      const accepted = await this.#options.ownership.accept(message, { shard: entry.shard, ...begun });
      this.#lookFor(accepted);
      if (!accepted.isDuplicate) {
        entry.message.status = begun.status;
        entry.message.attempts = begun.attempts;
        entry.message.conversationId = accepted.conversationId;
        isOurs = !entry.isForgotten;
        if (isOurs) this.#loaded.set(accepted.conversationId, entry);
        this.#tellAccepted(entry.message);
      }
      taken = this.#taking.olderOnes(entry, accepted);
      entry.mayBeEarly = taken !== undefined || this.#taking.count !== takenBefore;
      return accepted;
    } finally {
      this.#loaded.delete(message.id);
      if (isOurs && taken) void taken.then((isInOrder) => stored.resolve(isInOrder || this.#leave(entry)));
      else stored.resolve(isOurs);
      // What it took of memory is free without anything having ended.
      if (!isOurs) this.#backlog.catchUp();
    }
  }

  /** It is read again, behind the older ones. */
  #leave(entry: InboxEntry): false {
    entry.isForgotten = true;
    this.#loaded.delete(entry.message.conversationId);
    this.#backlog.fallBehind();
    return false;
  }

  async #acceptBehind(message: NewMessage, shard: number): Promise<Accepted> {
    const accepted = await this.#options.ownership.accept(message, { shard, status: "pending", attempts: 0 });
    this.#lookFor(accepted);
    if (!accepted.isDuplicate) {
      const stored = { ...toStored(message), conversationId: accepted.conversationId };
      this.#backlog.stored(stored);
      this.#tellAccepted(stored);
    }
    return accepted;
  }

  /** A copy of a message that was stored by a try which seemed to have failed, here or in another process. */
  #lookFor({ conversationId, isWithOwner = false }: AcceptedByOwner): void {
    if (isWithOwner && !this.#loaded.has(conversationId)) this.#backlog.missed(conversationId);
  }

  #tellAccepted(message: StoredMessage): void {
    const { conversationId, gateway } = message;
    this.#options.log.debug({ conversationId, gateway }, "message accepted");
    this.#options.hooks.tellOf("message.accepted", message, {});
  }

  #known({ conversationId, id }: StoredMessage): InboxEntry | undefined {
    return this.#loaded.get(conversationId) ?? this.#loaded.get(id);
  }

  #load(message: StoredMessage): void {
    const known = this.#known(message);
    if (known) this.#wakeKnown(known, message);
    if (known || this.#isStopped) return;
    const isControl = this.#options.isControl(message.content);
    const entry = toEntry(message, { stored: Promise.resolve(true), isControl });
    if (!this.#holds(entry)) return;
    entry.isTold = message.isUnowned !== true;
    this.#loaded.set(message.conversationId, entry);
    if (message.nextAttemptAt === null || entry.stoppedBy !== undefined) this.#lanes.enter(entry);
    else this.#enterLater(entry, message.nextAttemptAt);
  }

  #wakeKnown(entry: InboxEntry, { conversationId, stoppedBy, status }: StoredMessage): void {
    if (status === "pending") entry.isWoken = true;
    if (stoppedBy === null || entry.isControl) return;
    // Also where its id is not known here yet.
    entry.stoppedBy = stoppedBy;
    this.#options.stop(conversationId, stoppedBy);
  }

  #roomTaken(): number {
    const { limits } = this.#options;
    if (this.#loaded.textLength >= limits.maxLoadedText) return Number.POSITIVE_INFINITY;
    const held = this.#cancelRetries.size + this.#lanes.heldCount;
    return roomTaken({ loaded: this.#loaded.size, held, limits });
  }

  #enterLater(entry: InboxEntry, at: number): void {
    const id = entry.message.conversationId;
    const cancel = this.#options.clock.schedule(at, () => {
      this.#cancelRetries.delete(id);
      this.#lanes.enter(entry);
    });
    this.#cancelRetries.set(id, cancel);
    this.#backlog.catchUp();
  }

  async #run(entry: InboxEntry, lane: Lane<InboxEntry>): Promise<number | undefined | typeof IN_ORDER> {
    if (!(await entry.stored)) return undefined;
    // What is taken when it stops is in no lane: perhaps an older one of its thread.
    const isOlder = (other: InboxEntry) => byAcceptance(other, entry) < 0;
    if (entry.mayBeEarly && ((this.#isStopped && !entry.isControl) || lane.later().some(isOlder)))
      return this.#wait(entry);
    if (!(entry.isCounted || this.#holds(entry))) return this.#forget(entry);
    entry.isWoken = false;
    const outcome = await this.#dispatch(entry);
    this.#options.onEnded();
    if (outcome.kind === "suspended") {
      if (outcome.until !== undefined) this.#options.onRunWaits(outcome.until);
      return this.#suspend(entry);
    }
    if (outcome.kind !== "ended" && !this.#holds(entry)) return this.#forget(entry);
    if (outcome.kind === "held") return outcome.until ?? Number.POSITIVE_INFINITY;
    if (outcome.kind === "retry") this.#enterLater(entry, outcome.at);
    else if (outcome.kind === "detached") this.#lanes.enter(entry);
    else {
      this.#loaded.delete(entry.message.conversationId);
      this.#options.overload.ended();
      this.#taking.ended(entry);
      this.#backlog.ended(entry.message.conversationId);
      // Perhaps a person has had it tried again by now: the database knows.
      if (entry.isWoken) this.#backlog.fallBehind();
    }
    return undefined;
  }

  /** Behind the older ones of its thread; for the next start, where it stops. What cannot be written counts as interrupted. */
  async #wait(entry: InboxEntry): Promise<undefined | typeof IN_ORDER> {
    await this.#options.uncount(entry).catch((error) => this.#options.onBug(error));
    if (!this.#isStopped) return IN_ORDER;
    this.#options.onEnded();
    return this.#forget(entry);
  }

  /** It leaves memory, and comes back when what it waits for is there; perhaps that is so by now. */
  #suspend(entry: InboxEntry): undefined {
    const { message, isWoken, stoppedBy = null } = entry;
    this.#loaded.delete(message.conversationId);
    this.#backlog.ended(message.conversationId);
    this.#taking.suspended(message.conversationId);
    // Whoever wanted it ended meanwhile wants it still.
    if (stoppedBy !== null) this.#load({ ...message, status: "pending", nextAttemptAt: null, stoppedBy });
    // Or that was read before it went on: the database knows.
    else if (isWoken) this.#backlog.fallBehind();
    else this.#options.overload.ended();
    void this.takeUnowned();
  }

  #holds({ message, shard }: InboxEntry): boolean {
    return this.#options.holds(message.gateway, shard);
  }

  /** Another process handles it. */
  #forget(entry: InboxEntry): undefined {
    entry.isForgotten = true;
    this.#options.leaveTurns(entry);
    this.#loaded.delete(entry.message.conversationId);
    this.#backlog.ended(entry.message.conversationId);
  }

  /** What nobody expected is told, and the message tried again: it must not lie here until the next start. */
  #dispatch(entry: InboxEntry): Promise<DispatchOutcome> {
    return this.#options.dispatch(entry).catch((error) => {
      this.#options.onBug(error);
      return { kind: "retry", at: this.#options.clock.now() + BUG_RETRY_MS };
    });
  }
}
