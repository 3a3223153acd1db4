/**
 * Station 1 of a message's way: accepted once, by its idempotency key, and handled in the order of its thread.
 * A message's place in its lane is taken when `accept` is called; its handling begins after the commit. A crash
 * at any point leaves the message stored and open, or not stored and unacknowledged.
 */
import { Backlog, roomTaken } from "./backlog.ts";
import type { Clock } from "./clock.ts";
import { hasCode, RobsonError } from "./errors.ts";
import type { Accepted } from "./gateway.ts";
import type { HookRegistry } from "./hooks.ts";
import { Lanes } from "./lanes.ts";
import type { Limits } from "./limits.ts";
import type { InboundMessage } from "./message-event.ts";
import { toNewMessage } from "./new-message.ts";
import { shardOf, threadKey } from "./shards.ts";
import type { NewMessage, Ownership, StoredMessage } from "./store.ts";
import type { StoreHealth } from "./store-health.ts";

/** A message in memory. */
export interface InboxEntry {
  /** The lane: its thread. */
  key: string;
  shard: number;
  message: StoredMessage;
  /** False when it turned out not to be ours to handle: a duplicate, or not stored. */
  stored: Promise<boolean>;
  /** Whether the attempt that comes next has been counted by the commit that stored the message. */
  isCounted: boolean;
  /** A command about the loop: handled beside its thread's other messages, in slots of its own. */
  isControl: boolean;
  /** Whether it has waited as long as one that was interrupted has to. */
  hasWaited?: boolean;
  /** Who wants it ended. */
  stoppedBy?: string;
  /** Interrupted twice or more: perhaps what stopped the process. Handled alone. */
  isSuspect: boolean;
}

/** What became of an attempt: the message has ended, comes back later, or keeps its lane until `resume`. */
export type DispatchOutcome =
  | { kind: "ended" }
  | { kind: "retry"; at: number }
  | { kind: "held"; until?: number };

export interface InboxOptions {
  ownership: Ownership;
  clock: Clock;
  limits: Limits;
  hooks: HookRegistry;
  storeHealth: StoreHealth;
  dispatch(entry: InboxEntry): Promise<DispatchOutcome>;
  /** Whether the loop itself is meant: such a message waits behind no limit of admission. */
  isControl(content: string): boolean;
  /** See `Lanes` and `Backlog`. */
  onBug(error: unknown): void;
  onReadError(error: unknown, failures: number): Promise<void>;
}

/** How many messages of other processes are taken over at once. */
const MAX_TAKEN = 500;
/** How long a database may take to commit what was sent over a connection that has broken. */
const UNCERTAIN_MS = 10 * 60_000;
/** The wait after an error that is a fault of this program. */
const BUG_RETRY_MS = 60_000;

export class Inbox {
  readonly #options: InboxOptions;
  readonly #lanes: Lanes<InboxEntry>;
  readonly #controlLanes: Lanes<InboxEntry>;
  readonly #backlog: Backlog<StoredMessage>;
  /** By conversation id, or by message id while that is not known. */
  readonly #loaded = new Map<number | string, InboxEntry>();
  readonly #cancelRetries = new Map<number, () => void>();
  /** Set while unowned messages are being taken: what has ended meanwhile, and may still be among them. */
  #endedWhileTaking: Set<number> | undefined;
  #mustTakeAgain = false;
  /** Until then a message may turn up whose `accept` seemed to have failed. */
  #uncertainUntil = 0;
  #isStopped = false;

  constructor(options: InboxOptions) {
    const { ownership, clock, limits } = options;
    this.#options = options;
    const shared = { clock, run: (entry: InboxEntry) => this.#run(entry), onBug: options.onBug };
    this.#lanes = new Lanes({ ...shared, slots: limits.maxConcurrentMessages });
    this.#controlLanes = new Lanes({ ...shared, slots: limits.maxConcurrentControl });
    this.#backlog = new Backlog({
      read: (page) => ownership.openMessages(page),
      idOf: (message) => message.conversationId,
      keyOf: (message) => message.conversationId,
      load: (message) => this.#load(message),
      loadedCount: () => this.#roomTaken(),
      maxLoaded: limits.maxLoaded,
      onLive: () => this.takeUnowned(),
      onReadError: options.onReadError,
    });
  }

  get loadedCount(): number {
    return this.#loaded.size;
  }

  get isCaughtUp(): boolean {
    return this.#backlog.isLive;
  }

  /** Takes up what is open from before. */
  start(): void {
    this.#backlog.catchUp();
  }

  /** Stores a message and puts it in its lane. Resolves after the commit. */
  async accept(gateway: string, inbound: InboundMessage): Promise<Accepted> {
    const { clock, limits } = this.#options;
    const message = toNewMessage({ gateway, inbound, limits, now: clock.now() });
    const admission = await this.#backlog.admit();
    try {
      if (this.#isStopped) throw stopping();
      const isControl = this.#options.isControl(message.content);
      const isLive = admission === "live" || isControl;
      const accepted = await (isLive ? this.#acceptLive(message, isControl) : this.#acceptBehind(message));
      this.#options.storeHealth.worked();
      return accepted;
    } catch (error) {
      this.#options.storeHealth.failed(error);
      // It may have been stored all the same: then it is open, and has to be found.
      if (hasCode(error, "STORE_UNAVAILABLE")) this.#becomeUncertain();
      throw error;
    } finally {
      this.#backlog.end(admission);
    }
  }

  /** Runs the first message of a lane that was held. */
  resume(key: string): void {
    this.#lanes.resume(key);
    this.#controlLanes.resume(key);
  }

  /** The messages in memory that are stored, in the order of their acceptance. */
  entries(): InboxEntry[] {
    const entries = [...this.#loaded].flatMap(([id, entry]) => (typeof id === "number" ? [entry] : []));
    return entries.sort((a, b) => a.message.conversationId - b.message.conversationId);
  }

  entry(conversationId: number): InboxEntry | undefined {
    return this.#loaded.get(conversationId);
  }

  /** Makes the next attempt at a message now, where it waits for a later one. */
  hasten({ key, message }: InboxEntry): void {
    const entry = this.#loaded.get(message.conversationId);
    const cancel = this.#cancelRetries.get(message.conversationId);
    this.#cancelRetries.delete(message.conversationId);
    cancel?.();
    if (cancel && entry) this.#enter(entry);
    else this.resume(key);
  }

  /** Takes over what other processes have stored for us. */
  takeUnowned(): void {
    if (this.#endedWhileTaking) {
      this.#mustTakeAgain = true;
      return;
    }
    const room = this.#options.limits.maxLoaded - this.#roomTaken();
    if (!this.#backlog.isLive || this.#isStopped || room <= 0) return;
    this.#mustTakeAgain = false;
    const ended = new Set<number>();
    this.#endedWhileTaking = ended;
    void this.#takeUnowned({ limit: Math.min(room, MAX_TAKEN), ended }).finally(() => {
      this.#endedWhileTaking = undefined;
      if (this.#mustTakeAgain) this.takeUnowned();
    });
  }

  /** Reads the open messages again, where a write's outcome has been unknown not long ago. */
  rereadIfUncertain(): void {
    if (this.#options.clock.now() < this.#uncertainUntil) this.#backlog.fallBehind();
  }

  /** Accepts nothing and begins nothing more. What is stored and not begun stays for the next start. */
  stop(): void {
    this.#isStopped = true;
    this.#lanes.stop();
    this.#controlLanes.stop();
    this.#backlog.stop();
    for (const cancel of this.#cancelRetries.values()) cancel();
  }

  /** Resolves when nothing is handled and nothing waits for a slot; retries to come do not count. */
  async idle(): Promise<void> {
    await Promise.all([this.#lanes.idle(), this.#controlLanes.idle()]);
  }

  async #acceptLive(message: NewMessage, isControl: boolean): Promise<Accepted> {
    const stored = Promise.withResolvers<boolean>();
    const entry = toEntry(toStored(message), { stored: stored.promise, isControl });
    this.#loaded.set(message.id, entry);
    entry.isCounted = this.#enter(entry);
    let isOurs = false;
    try {
      const begun = entry.isCounted
        ? ({ status: "claimed", attempts: 1 } as const)
        : ({ status: "pending", attempts: 0 } as const);
      const accepted = await this.#options.ownership.accept(message, { shard: entry.shard, ...begun });
      // Stored by a try that seemed to have failed, and found only now.
      if (accepted.isDuplicate && !this.#loaded.has(accepted.conversationId)) this.rereadIfUncertain();
      if (!accepted.isDuplicate) {
        Object.assign(entry.message, begun, { conversationId: accepted.conversationId });
        this.#loaded.set(accepted.conversationId, entry);
        isOurs = true;
        this.#tellAccepted(entry.message);
      }
      return accepted;
    } finally {
      this.#loaded.delete(message.id);
      stored.resolve(isOurs);
    }
  }

  async #acceptBehind(message: NewMessage): Promise<Accepted> {
    const shard = shardOf(threadKey(message));
    const accepted = await this.#options.ownership.accept(message, { shard, status: "pending", attempts: 0 });
    if (!accepted.isDuplicate) {
      const stored = { ...toStored(message), conversationId: accepted.conversationId };
      this.#backlog.stored(stored);
      this.#tellAccepted(stored);
    }
    return accepted;
  }

  async #takeUnowned({ limit, ended }: { limit: number; ended: Set<number> }): Promise<void> {
    try {
      const messages = await this.#options.ownership.takeUnowned(limit);
      this.#options.storeHealth.worked();
      for (const message of messages) {
        this.#tellAccepted(message);
        if (!ended.has(message.conversationId)) this.#load(message);
      }
      if (messages.length === limit) this.#mustTakeAgain = true;
    } catch (error) {
      this.#options.storeHealth.failed(error);
      // Taken perhaps, and then only the database knows of them.
      if (hasCode(error, "STORE_UNAVAILABLE")) this.#becomeUncertain();
      else if (!hasCode(error, "STORE_BUSY")) this.#options.onBug(error);
    }
  }

  #tellAccepted(message: StoredMessage): void {
    this.#options.hooks.tellOf("message.accepted", message, {});
  }

  #load(message: StoredMessage): void {
    const isLoaded = this.#loaded.has(message.conversationId) || this.#loaded.has(message.id);
    if (isLoaded || this.#isStopped) return;
    const isControl = this.#options.isControl(message.content);
    const entry = toEntry(message, { stored: Promise.resolve(true), isControl });
    this.#loaded.set(message.conversationId, entry);
    if (message.nextAttemptAt === null) this.#enter(entry);
    else this.#enterLater(entry, message.nextAttemptAt);
  }

  /** The database may commit what it was sent long after the connection is gone. */
  #becomeUncertain(): void {
    this.#uncertainUntil = this.#options.clock.now() + UNCERTAIN_MS;
    this.#backlog.fallBehind();
  }

  #roomTaken(): number {
    const held = this.#cancelRetries.size + this.#lanes.heldCount;
    return roomTaken({ loaded: this.#loaded.size, held, limits: this.#options.limits });
  }

  #enter(entry: InboxEntry): boolean {
    return (entry.isControl ? this.#controlLanes : this.#lanes).enter(entry.key, entry);
  }

  #enterLater(entry: InboxEntry, at: number): void {
    const id = entry.message.conversationId;
    const cancel = this.#options.clock.schedule(at, () => {
      this.#cancelRetries.delete(id);
      this.#enter(entry);
    });
    this.#cancelRetries.set(id, cancel);
    this.#backlog.catchUp();
  }

  async #run(entry: InboxEntry): Promise<number | undefined> {
    if (!(await entry.stored)) return undefined;
    const outcome = await this.#dispatch(entry);
    if (outcome.kind === "held") return outcome.until ?? Number.POSITIVE_INFINITY;
    if (outcome.kind === "retry") this.#enterLater(entry, outcome.at);
    else {
      this.#loaded.delete(entry.message.conversationId);
      this.#endedWhileTaking?.add(entry.message.conversationId);
      this.#backlog.ended(entry.message.conversationId);
    }
    return undefined;
  }

  /** What nobody expected is told, and the message tried again: it must not lie here until the next start. */
  async #dispatch(entry: InboxEntry): Promise<DispatchOutcome> {
    try {
      return await this.#options.dispatch(entry);
    } catch (error) {
      this.#options.onBug(error);
      return { kind: "retry", at: this.#options.clock.now() + BUG_RETRY_MS };
    }
  }
}

function toEntry(message: StoredMessage, more: Pick<InboxEntry, "stored" | "isControl">): InboxEntry {
  const key = threadKey(message);
  const isSuspect = message.status === "claimed" && message.interruptions >= 1;
  return { key, shard: shardOf(key), message, isCounted: false, isSuspect, ...more };
}

function toStored(message: NewMessage): StoredMessage {
  return {
    ...message,
    conversationId: 0,
    status: "pending",
    attempts: 0,
    interruptions: 0,
    nextAttemptAt: null,
    lastError: null,
  };
}

function stopping(): RobsonError {
  return new RobsonError("STOPPING", "Cannot accept a message: this process is stopping", {
    hint: "Send it again in a moment",
  });
}
