/**
 * Takes over what other processes have stored for this one: messages, dead letters to be tried again, and that someone
 * wants a message ended. One taking at a time; what comes in meanwhile is the next one's. Where memory has no room, or
 * the backlog is still being read, messages stay for the reading of pages, and only what is to be ended is looked up.
 */
import { hasCode } from "./errors.ts";
import type { InboxEntry } from "./inbox-entry.ts";
import type { Limits } from "./limits.ts";
import type { AcceptedByOwner, Ownership, StoredMessage } from "./store.ts";
import { isStoreTrouble, type StoreHealth } from "./store-health.ts";

export interface TakingOptions {
  ownership: Ownership;
  limits: Limits;
  storeHealth: StoreHealth;
  /** Whether all open work is in memory, so that what is taken may go there. */
  isLive(): boolean;
  /** How much of `maxLoaded` is taken. */
  roomTaken(): number;
  /** A message that was not in memory has been taken. */
  load(message: StoredMessage): void;
  /** That message in memory. */
  known(message: StoredMessage): InboxEntry | undefined;
  tellAccepted(message: StoredMessage): void;
  /** Ends a message that is in memory; see `LoopControl`. */
  stop(conversationId: number, by: string): void;
  /** See `Backlog`. */
  reached(conversationId: number): Promise<boolean>;
  /** What was taken is to be read from the database. */
  fallBehind(): void;
  onBug(error: unknown): void;
}

interface LeftMeanwhile {
  ended: Map<number, InboxEntry>;
  suspended: Set<number>;
}

/** It has ended since; unless a person has had it tried again after that. */
function isOver({ conversationId, round }: StoredMessage, ended: LeftMeanwhile["ended"]): boolean {
  const entry = ended.get(conversationId);
  return entry !== undefined && entry.message.round >= round;
}

/** How many messages of other processes are taken over at once. */
const MAX_TAKEN = 500;

export class Taking {
  readonly #options: TakingOptions;
  /** Set while messages are being taken: what has left memory meanwhile, and may still be among them. */
  #leftMeanwhile: LeftMeanwhile | undefined;
  #underWay: Promise<void> | undefined;
  /** Begins when the taking under way has ended. */
  #next: Promise<void> | undefined;
  #count = 0;
  #isStopped = false;

  constructor(options: TakingOptions) {
    this.#options = options;
  }

  /** How many messages have been taken so far. */
  get count(): number {
    return this.#count;
  }

  /** Resolves when what others had stored by now is in its lanes, or is left to the reading of pages. */
  take(): Promise<void> {
    if (!this.#underWay) return this.#begin();
    this.#next ??= this.#underWay.then(() => this.#begin());
    return this.#next;
  }

  /**
   * Of a message that has just been stored: whether the older ones of its thread are in its lane (false: no room), once
   * that is known; undefined: memory knows them all.
   */
  olderOnes(
    { isControl }: Pick<InboxEntry, "isControl">,
    { conversationId, hasUnowned }: AcceptedByOwner,
  ): Promise<boolean> | undefined {
    const { isLive, reached } = this.#options;
    // Fallen behind while it was being stored: what others had stored is among what is read.
    const read = async () => isControl || reached(conversationId);
    if (!(isLive() || isControl)) return read();
    // A taking whose answer is lost has left them to the reading.
    return (hasUnowned ? this.take() : this.#underWay)?.then(read);
  }

  /** A message has left memory for good. */
  ended(entry: InboxEntry): void {
    this.#leftMeanwhile?.ended.set(entry.message.conversationId, entry);
  }

  /** A message has left memory until its run is woken. */
  suspended(conversationId: number): void {
    this.#leftMeanwhile?.suspended.add(conversationId);
  }

  stop(): void {
    this.#isStopped = true;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    if (this.#isStopped) return Promise.resolve();
    const left: LeftMeanwhile = { ended: new Map(), suspended: new Set() };
    this.#leftMeanwhile = left;
    this.#underWay = this.#takeAll(left).finally(() => {
      this.#underWay = undefined;
      this.#leftMeanwhile = undefined;
    });
    return this.#underWay;
  }

  async #takeAll({ ended, suspended }: LeftMeanwhile): Promise<void> {
    const { ownership, limits, storeHealth, isLive, roomTaken, known, tellAccepted } = this.#options;
    const { load, fallBehind } = this.#options;
    try {
      for (let isMore = true; isMore && !this.#isStopped; ) {
        const limit = isLive() ? Math.min(limits.maxLoaded - roomTaken(), MAX_TAKEN) : 0;
        if (limit <= 0) return await this.#leaveToPages();
        const messages = await ownership.takeUnowned(limit);
        storeHealth.worked();
        this.#count += messages.length;
        for (const message of messages) {
          // What someone wants ended was accepted before, if it is here; what has come here twice was told once.
          const here = known(message) ?? ended.get(message.conversationId);
          if (!here || (message.stoppedBy === null && !here.isTold)) tellAccepted(message);
          if (here) here.isTold = true;
        }
        // Shards have come meanwhile, say, with older messages: all are read anew, in their order.
        if (!isLive()) return fallBehind();
        // What is suspended by now may have been woken since, or have been read before: the database knows.
        if (messages.some(({ conversationId }) => suspended.has(conversationId))) fallBehind();
        for (const message of messages)
          if (!(isOver(message, ended) || suspended.has(message.conversationId))) load(message);
        isMore = messages.length === limit;
      }
    } catch (error) {
      storeHealth.failed(error);
      // What was taken is known to the database alone, if anything was.
      if (hasCode(error, "STORE_UNAVAILABLE")) fallBehind();
      else if (!isStoreTrouble(error)) this.#options.onBug(error);
    }
  }

  /** What is not in memory is taken, or ended, when the pages come to it: none of its thread's younger ones is before. */
  async #leaveToPages(): Promise<void> {
    const { ownership, isLive, fallBehind, stop } = this.#options;
    if (isLive()) fallBehind();
    const requests = await ownership.stopRequests(MAX_TAKEN);
    for (const { conversationId, by } of requests) stop(conversationId, by);
  }
}
