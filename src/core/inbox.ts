/**
 * Station 1 of a message's way: accepted once, by its idempotency key, and handled in the order of its thread.
 * A message's place in its lane is taken when `accept` is called; its handling begins after the commit. A crash
 * at any point leaves the message stored and open, or not stored and unacknowledged.
 */
import { randomUUID } from "node:crypto";
import { Backlog } from "./backlog.ts";
import type { Clock } from "./clock.ts";
import { hasCode, RobsonError } from "./errors.ts";
import type { Accepted } from "./gateway.ts";
import { Lanes } from "./lanes.ts";
import type { Limits } from "./limits.ts";
import type { InboundMessage } from "./message-event.ts";
import { shardOf, threadKey } from "./shards.ts";
import type { NewMessage, Ownership, StoredMessage } from "./store.ts";
import { byteLength, toStorable } from "./text.ts";

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
  /** Interrupted twice or more: perhaps what stopped the process. Handled alone. */
  isSuspect: boolean;
}

/** What became of an attempt: the message has ended, comes back later, or keeps its lane until `resume`. */
export type DispatchOutcome = { kind: "ended" } | { kind: "retry"; at: number } | { kind: "held" };

export interface InboxOptions {
  ownership: Ownership;
  clock: Clock;
  limits: Limits;
  dispatch(entry: InboxEntry): Promise<DispatchOutcome>;
  /** See `Lanes` and `Backlog`. */
  onBug(error: unknown): void;
  onReadError(error: unknown): Promise<void>;
}

export class Inbox {
  readonly #options: InboxOptions;
  readonly #lanes: Lanes<InboxEntry>;
  readonly #backlog: Backlog<StoredMessage>;
  /** By conversation id, or by message id while that is not known. */
  readonly #loaded = new Set<number | string>();
  readonly #cancelRetries = new Map<number, () => void>();
  #isTaking = false;
  #isStopped = false;

  constructor(options: InboxOptions) {
    const { ownership, clock, limits } = options;
    this.#options = options;
    this.#lanes = new Lanes({
      clock,
      slots: limits.maxConcurrentMessages,
      run: (entry) => this.#run(entry),
      onBug: options.onBug,
    });
    this.#backlog = new Backlog({
      read: (page) => ownership.openMessages(page),
      idOf: (message) => message.conversationId,
      keyOf: (message) => message.conversationId,
      load: (message) => this.#load(message),
      loadedCount: () => this.#loaded.size,
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
      return await (admission === "live" ? this.#acceptLive(message) : this.#acceptBehind(message));
    } catch (error) {
      // It may have been stored all the same: then it is open, and has to be found.
      if (hasCode(error, "STORE_UNAVAILABLE")) this.#backlog.fallBehind();
      throw error;
    } finally {
      this.#backlog.end(admission);
    }
  }

  /** Runs the first message of a lane that was held. */
  resume(key: string): void {
    this.#lanes.resume(key);
  }

  /** Takes over what other processes have stored for us. */
  takeUnowned(): void {
    const room = this.#options.limits.maxLoaded - this.#loaded.size;
    if (!this.#backlog.isLive || this.#isTaking || this.#isStopped || room <= 0) return;
    this.#isTaking = true;
    void this.#takeUnowned(room).finally(() => {
      this.#isTaking = false;
    });
  }

  /** Accepts nothing and begins nothing more. What is stored and not begun stays for the next start. */
  stop(): void {
    this.#isStopped = true;
    this.#lanes.stop();
    this.#backlog.stop();
    for (const cancel of this.#cancelRetries.values()) cancel();
  }

  /** Resolves when nothing is handled and nothing waits for a slot; retries to come do not count. */
  idle(): Promise<void> {
    return this.#lanes.idle();
  }

  async #acceptLive(message: NewMessage): Promise<Accepted> {
    const stored = Promise.withResolvers<boolean>();
    const entry = toEntry(toStored(message), stored.promise);
    this.#loaded.add(message.id);
    entry.isCounted = this.#lanes.enter(entry.key, entry);
    let isOurs = false;
    try {
      const begun = entry.isCounted
        ? ({ status: "claimed", attempts: 1 } as const)
        : ({ status: "pending", attempts: 0 } as const);
      const accepted = await this.#options.ownership.accept(message, { shard: entry.shard, ...begun });
      if (!accepted.isDuplicate) {
        Object.assign(entry.message, begun, { conversationId: accepted.conversationId });
        this.#loaded.add(accepted.conversationId);
        isOurs = true;
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
      this.#backlog.stored({ ...toStored(message), conversationId: accepted.conversationId });
    }
    return accepted;
  }

  async #takeUnowned(limit: number): Promise<void> {
    try {
      const messages = await this.#options.ownership.takeUnowned(limit);
      for (const message of messages) this.#load(message);
    } catch (error) {
      // Taken perhaps, and then only the database knows of them.
      if (hasCode(error, "STORE_UNAVAILABLE")) this.#backlog.fallBehind();
      else if (!hasCode(error, "STORE_BUSY")) this.#options.onBug(error);
    }
  }

  #load(message: StoredMessage): void {
    if (this.#loaded.has(message.conversationId) || this.#isStopped) return;
    this.#loaded.add(message.conversationId);
    const entry = toEntry(message, Promise.resolve(true));
    if (message.nextAttemptAt === null) this.#lanes.enter(entry.key, entry);
    else this.#enterLater(entry, message.nextAttemptAt);
  }

  #enterLater(entry: InboxEntry, at: number): void {
    const id = entry.message.conversationId;
    const cancel = this.#options.clock.schedule(at, () => {
      this.#cancelRetries.delete(id);
      this.#lanes.enter(entry.key, entry);
    });
    this.#cancelRetries.set(id, cancel);
  }

  async #run(entry: InboxEntry): Promise<number | undefined> {
    if (!(await entry.stored)) return undefined;
    const outcome = await this.#options.dispatch(entry);
    if (outcome.kind === "held") return Number.POSITIVE_INFINITY;
    if (outcome.kind === "retry") this.#enterLater(entry, outcome.at);
    else {
      this.#loaded.delete(entry.message.conversationId);
      this.#backlog.ended(entry.message.conversationId);
    }
    return undefined;
  }
}

function toEntry(message: StoredMessage, stored: Promise<boolean>): InboxEntry {
  const key = threadKey(message);
  const isSuspect = message.status === "claimed" && message.attempts >= 2;
  return { key, shard: shardOf(key), message, stored, isCounted: false, isSuspect };
}

function toStored(message: NewMessage): StoredMessage {
  return {
    ...message,
    conversationId: 0,
    status: "pending",
    attempts: 0,
    nextAttemptAt: null,
    lastError: null,
  };
}

interface Inbound {
  gateway: string | null;
  inbound: InboundMessage;
  limits: Pick<Limits, "maxContentBytes" | "maxIdBytes">;
  now: number;
}

/** A message as it will be stored, or `MESSAGE_INVALID` / `MESSAGE_TOO_LARGE`. */
export function toNewMessage({ gateway, inbound, limits, now }: Inbound): NewMessage {
  const id = (field: string, value: string | undefined) =>
    checkedText({ field, value: value ?? "", maxBytes: limits.maxIdBytes, limit: "maxIdBytes" });
  return {
    id: randomUUID(),
    gateway,
    channelId: id("channelId", inbound.channelId),
    threadTs: id("threadTs", inbound.threadTs),
    userId: id("userId", inbound.userId),
    role: "user",
    content: checkedText({
      field: "content",
      value: inbound.content,
      maxBytes: limits.maxContentBytes,
      limit: "maxContentBytes",
    }),
    isAddressed: inbound.isAddressed ?? true,
    idempotencyKey:
      inbound.idempotencyKey === undefined ? null : id("idempotencyKey", inbound.idempotencyKey),
    createdAt: now,
  };
}

function checkedText(check: { field: string; value: unknown; maxBytes: number; limit: string }): string {
  const { field, value, maxBytes, limit } = check;
  if (typeof value !== "string") {
    throw new RobsonError(
      "MESSAGE_INVALID",
      `Cannot accept a message: its ${field} is ${typeof value}, not text`,
      {
        hint: `Pass ${field} as a string`,
      },
    );
  }
  const text = toStorable(value);
  const bytes = byteLength(text);
  if (bytes > maxBytes) {
    throw new RobsonError("MESSAGE_TOO_LARGE", `Cannot accept a message: its ${field} has ${bytes} bytes`, {
      hint: `At most ${maxBytes} are taken; the limit is ${limit}`,
    });
  }
  return text;
}

function stopping(): RobsonError {
  return new RobsonError("STOPPING", "Cannot accept a message: this process is stopping", {
    hint: "Send it again in a moment",
  });
}
