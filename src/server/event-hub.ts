/**
 * Follows the feed for all streams at once: while anyone listens, each event is read from the database one time
 * and handed to every listener. It reads when told that something was stored, and now and then in case it was not.
 */
import type { Clock } from "../core/clock.ts";
import { hasCode, messageOf } from "../core/errors.ts";
import type { EventFeed, FeedEvent } from "../core/event-feed.ts";
import type { Logger } from "../core/logger.ts";

export interface EventHubOptions {
  feed: EventFeed;
  /** Calls back when events may have been stored; the result ends that. Without it the hub only polls. */
  onEvents?: ((callback: () => void) => () => void) | undefined;
  /** How often the feed is read although nobody said that there is something. */
  pollMs: number;
  clock: Clock;
  log: Logger;
}

const PAGE_SIZE = 500;
/** The shortest time between two readings, so that many small commits share one. */
const MIN_GAP_MS = 10;
/** How soon the feed is read again while an open transaction holds events back; doubles up to the poll. */
const HELD_BACK_MS = 20;

type Listener = (event: FeedEvent) => void;

export class EventHub {
  readonly #options: EventHubOptions;
  readonly #listeners = new Set<Listener>();
  #cursor: string | undefined;
  #starting: Promise<void> | undefined;
  #endSignals: (() => void) | undefined;
  #timer: { at: number; cancel: () => void } | undefined;
  #lastReadAt = 0;
  #heldBackMs = HELD_BACK_MS;
  #isReading = false;
  #isSignalled = false;

  constructor(options: EventHubOptions) {
    this.#options = options;
  }

  /** Everything up to here has been handed to the listeners; '' while nobody listens. */
  get cursor(): string {
    return this.#cursor ?? "";
  }

  /** Hands over what is stored from now on, in the order of the feed, until the result is called. */
  async listen(listener: Listener): Promise<() => void> {
    this.#listeners.add(listener);
    const leave = () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#rest();
    };
    try {
      this.#starting ??= this.#start();
      await this.#starting;
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.#endSignals = this.#options.onEvents?.(() => this.#signal());
    this.#cursor = await this.#options.feed.now();
    this.#schedule(this.#options.pollMs);
  }

  /** Nobody listens: nothing is read any more. */
  #rest(): void {
    this.#endSignals?.();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#cursor = undefined;
    this.#starting = undefined;
  }

  #signal(): void {
    if (this.#isReading) this.#isSignalled = true;
    else this.#schedule(Math.max(0, this.#lastReadAt + MIN_GAP_MS - this.#options.clock.now()));
  }

  /** Reads after this wait, or earlier when that was settled before. */
  #schedule(waitMs: number): void {
    const { clock } = this.#options;
    const at = clock.now() + waitMs;
    if (this.#timer && this.#timer.at <= at) return;
    this.#timer?.cancel();
    this.#timer = { at, cancel: clock.schedule(at, () => void this.#read()) };
  }

  /** Never rejects. */
  async #read(): Promise<void> {
    const { clock, pollMs, log } = this.#options;
    this.#timer = undefined;
    if (this.#isReading) return;
    this.#isReading = true;
    this.#isSignalled = false;
    let waitMs = pollMs;
    try {
      if (await this.#readToEnd()) {
        waitMs = Math.min(this.#heldBackMs, pollMs);
        this.#heldBackMs *= 2;
      } else {
        this.#heldBackMs = HELD_BACK_MS;
      }
    } catch (error) {
      log.warn({ error: messageOf(error) }, "cannot read events for the streams; trying again");
    }
    this.#isReading = false;
    this.#lastReadAt = clock.now();
    if (this.#cursor === undefined) return;
    this.#schedule(this.#isSignalled ? MIN_GAP_MS : waitMs);
  }

  /** Whether there are events that cannot be shown yet. */
  async #readToEnd(): Promise<boolean> {
    const { feed } = this.#options;
    for (;;) {
      const after = this.#cursor;
      if (after === undefined) return false;
      const page = await feed.eventsAfter(after, { filter: {}, limit: PAGE_SIZE }).catch(async (error) => {
        // The database was replaced by an older one: what comes from now on is all that can be told.
        if (hasCode(error, "MESSAGE_INVALID")) this.#cursor = await feed.now();
        throw error;
      });
      // Everybody left meanwhile, and perhaps others came, who begin at a place of their own.
      if (this.#cursor !== after) return false;
      for (const event of page.events) for (const listener of this.#listeners) listener(event);
      this.#cursor = page.cursor;
      if (page.isAtEnd) return page.isHeldBack;
    }
  }
}
