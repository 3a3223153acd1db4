/**
 * One client's stream of events (Server-Sent Events). It first reads what the client has missed from the database,
 * at the client's pace, and then hands on what the hub reads. It never holds more than a bounded amount for a slow
 * client, which falls behind again beyond that; one that takes nothing at all is cut off. Whoever is cut off for
 * whatever reason goes on later from the last id that he has seen.
 */
import type { ServerResponse } from "node:http";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import {
  type EventFeed,
  type EventFilter,
  type FeedEvent,
  type FeedPage,
  isWanted,
} from "../core/event-feed.ts";
import type { Logger } from "../core/logger.ts";
import type { EventHub } from "./event-hub.ts";

export interface EventStreamOptions {
  response: ServerResponse;
  feed: EventFeed;
  hub: EventHub;
  filter: EventFilter;
  clock: Clock;
  log: Logger;
  maxBufferedBytes: number;
  heartbeatMs: number;
  /** Called once, when the stream has ended for whatever reason. */
  onEnd(): void;
}

/** How many events one reading of the past asks for. */
export const PAGE_SIZE = 200;
/** How many new events are kept while the past is being read; beyond, they are read again from the database. */
const MAX_PENDING_EVENTS = 200;
/** How many heartbeats may pass in which a client takes nothing of what waits for it. */
const MAX_STALLED_HEARTBEATS = 4;
/** What a client is told to wait before it connects again. */
const RECONNECT_MS = 1000;

export class EventStream {
  readonly #options: EventStreamOptions;
  #cursor = "";
  #pending: FeedEvent[] = [];
  #hasMissed = false;
  #isLive = false;
  #isEnded = false;
  #leaveHub: (() => void) | undefined;
  #cancelHeartbeat: (() => void) | undefined;
  #stalledHeartbeats = 0;
  #takenBytes = 0;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    options.response.once("close", () => this.#release());
  }

  /** Answers with the page that was read already, and everything after it. Never rejects. */
  async run(first: { page: FeedPage; cursor: string }): Promise<void> {
    const { response, hub } = this.#options;
    this.#cursor = first.cursor;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      // Proxies that collect an answer before they pass it on would keep every event to themselves.
      "x-accel-buffering": "no",
      connection: "close",
    });
    // A client that is cut off before its first event knows where to go on, too.
    this.#write(`retry: ${RECONNECT_MS}\nid: ${first.cursor}\n\n`);
    this.#scheduleHeartbeat();
    try {
      const leave = await hub.listen((event) => this.#onEvent(event));
      if (this.#isEnded) leave();
      else this.#leaveHub = leave;
    } catch (error) {
      this.#fail(error);
      return;
    }
    // The page was read before the hub knew of us: what lies between the two is still to be read.
    await this.#catchUp(first.page);
  }

  /** Ends it at once; what the client has not taken yet is dropped when it does not take it now. */
  end(): void {
    const { response } = this.#options;
    if (response.writableLength > 0) response.destroy();
    else response.end();
    this.#release();
  }

  #fail(error: unknown): void {
    this.#options.log.warn({ error: messageOf(error) }, "a stream of events ends: cannot read on");
    this.end();
  }

  /** Reads on from the database until nothing lies between that and what the hub hands over. Never rejects. */
  async #catchUp(first?: FeedPage): Promise<void> {
    const { feed, filter } = this.#options;
    try {
      if (first) await this.#sendPage(first);
      for (let isAtEnd = false; !isAtEnd || this.#hasMissed; ) {
        await this.#drained();
        if (this.#isEnded) return;
        this.#hasMissed = false;
        const page = await feed.eventsAfter(this.#cursor, { filter, limit: PAGE_SIZE });
        await this.#sendPage(page);
        ({ isAtEnd } = page);
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#isLive = true;
    for (const event of this.#pending.splice(0)) this.#onEvent(event);
  }

  async #sendPage(page: FeedPage): Promise<void> {
    for (const event of page.events) {
      if (this.#isEnded) return;
      this.#send(event);
      if (this.#isFull()) await this.#drained();
    }
    this.#cursor = page.cursor;
  }

  #onEvent(event: FeedEvent): void {
    if (this.#isEnded || event.cursor <= this.#cursor) return;
    if (this.#isLive) {
      this.#cursor = event.cursor;
      if (isWanted(event, this.#options.filter)) this.#send(event);
      if (!this.#isFull()) return;
      this.#isLive = false;
      void this.#catchUp();
      return;
    }
    if (this.#pending.length >= MAX_PENDING_EVENTS) {
      this.#pending = [];
      this.#hasMissed = true;
    }
    this.#pending.push(event);
  }

  #send(event: FeedEvent): void {
    const data = JSON.stringify(toJson(event));
    this.#write(`id: ${event.cursor}\nevent: process-event\ndata: ${data}\n\n`);
    this.#cursor = event.cursor;
  }

  #write(text: string): void {
    if (!this.#isEnded) this.#options.response.write(text);
  }

  #isFull(): boolean {
    return this.#options.response.writableLength > this.#options.maxBufferedBytes;
  }

  /** Resolves when the client has taken what was written, or is gone. */
  #drained(): Promise<void> {
    const { response } = this.#options;
    if (this.#isEnded || !response.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        response.off("drain", done).off("close", done);
        resolve();
      };
      response.once("drain", done).once("close", done);
    });
  }

  #scheduleHeartbeat(): void {
    const { clock, heartbeatMs } = this.#options;
    this.#cancelHeartbeat = clock.schedule(clock.now() + heartbeatMs, () => this.#beat());
  }

  #beat(): void {
    const { response, hub, log } = this.#options;
    if (this.#isEnded) return;
    const takenBytes = (response.socket?.bytesWritten ?? 0) - response.writableLength;
    const isStalled = response.writableLength > 0 && takenBytes === this.#takenBytes;
    this.#takenBytes = takenBytes;
    this.#stalledHeartbeats = isStalled ? this.#stalledHeartbeats + 1 : 0;
    if (this.#stalledHeartbeats >= MAX_STALLED_HEARTBEATS) {
      log.info({}, "a stream of events ends: its client takes nothing any more");
      this.end();
      return;
    }
    // Of a stream whose filter keeps much back, the client learns in this way how far it has come.
    if (this.#isLive && hub.cursor > this.#cursor) this.#cursor = hub.cursor;
    this.#write(this.#isLive ? `: heartbeat\nid: ${this.#cursor}\n\n` : ": heartbeat\n\n");
    this.#scheduleHeartbeat();
  }

  #release(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#pending = [];
    this.#cancelHeartbeat?.();
    this.#leaveHub?.();
    this.#options.onEnd();
  }
}

function toJson(event: FeedEvent): object {
  return {
    event_id: event.eventId,
    conversation_id: event.conversationId,
    kind: event.kind,
    content: event.content,
    created_at: new Date(event.createdAt).toISOString(),
    gateway: event.gateway,
    channel_id: event.channelId,
    thread_ts: event.threadTs === "" ? null : event.threadTs,
  };
}
