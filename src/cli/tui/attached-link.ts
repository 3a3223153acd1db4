/**
 * The terminal's link to the loop of another process, over its HTTP server: lines are posted, each with a key so
 * that one may be posted again, and events come as a stream. A server without that stream is asked for each
 * message's events instead. What the connection loses, the next one brings; nothing is lost in between.
 */
import { z } from "zod";
import { backoffMs } from "../../core/backoff.ts";
import { type Clock, systemClock, wait } from "../../core/clock.ts";
import { hasCode, messageOf, RobsonError } from "../../core/errors.ts";
import { EVENT_KINDS, isFinal } from "../../core/process-event.ts";
import { followEvents } from "./event-stream.ts";
import type { Line, LinkOptions, TerminalLink } from "./link.ts";
import { type RobsonClient, refusedForGood } from "./robson-client.ts";

export interface AttachedLinkOptions extends LinkOptions {
  client: RobsonClient;
  /** How the process that owns the database calls itself. */
  owner: string;
  clock?: Clock;
  random?: () => number;
}

/** What `POST /message` of an agent belongs to. */
const GATEWAY = "webhook";
const CHANNEL = "tui";
const POLL_MS = 500;
const BACKOFF_BASE_MS = 500;
const MAX_BACKOFF_MS = 15_000;
const LOST = "No connection to the agent; trying again. What you send is kept until it is back.";

const eventSchema = z.object({
  event_id: z.number(),
  kind: z.enum(EVENT_KINDS),
  content: z.string(),
});
const streamedSchema = eventSchema.extend({ conversation_id: z.number() });
const postedSchema = z.object({ conversation_id: z.number() });
const eventsSchema = z.object({ events: z.array(eventSchema), processed: z.boolean() });

/** A link to the agent that listens there; rejects with what to do when none does. */
export async function openAttachedLink(options: AttachedLinkOptions): Promise<TerminalLink> {
  const link = new AttachedLink(options);
  await link.open();
  const { url } = options.client;
  return {
    place: { gateway: GATEWAY, channelId: CHANNEL },
    greeting: `attached to ${options.owner} at ${url}`,
    farewell: {
      stopping: "Leaving the agent to its work",
      stopped: "Detached. The agent goes on; its answers are kept in its records.",
    },
    say: (line) => link.say(line),
    hasEndedSilently: (conversationId) => link.readEvents(conversationId),
    ended: link.ended,
    stop: () => link.stop(),
  };
}

class AttachedLink {
  readonly ended: Promise<void>;
  readonly #options: Required<AttachedLinkOptions>;
  readonly #stop = new AbortController();
  readonly #end = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();
  /** Messages of ours whose final answer has not come. */
  readonly #open = new Set<number>();
  readonly #posting = new Set<Promise<unknown>>();

  constructor(options: AttachedLinkOptions) {
    this.#options = { clock: systemClock, random: Math.random, ...options };
    this.ended = this.#end.promise;
    this.ended.catch(() => undefined);
  }

  /** Resolves once events are followed. */
  open(): Promise<void> {
    void this.#follow().then(this.#end.resolve, (error: unknown) => {
      this.#opened.reject(error);
      this.#end.reject(error);
    });
    return this.#opened.promise;
  }

  async say(line: Line): Promise<number> {
    const posting = this.#post(line);
    this.#posting.add(posting);
    try {
      const conversationId = await posting;
      this.#open.add(conversationId);
      return conversationId;
    } finally {
      this.#posting.delete(posting);
    }
  }

  /** Shows what the agent has of a message; true when it has ended and no final answer is among that. */
  async readEvents(conversationId: number): Promise<boolean> {
    const answer = await this.#options.client.get(`/conversations/${conversationId}/events`, {
      signal: this.#stop.signal,
    });
    const { events, processed } = eventsSchema.parse(answer);
    for (const event of events) await this.#show({ ...event, conversation_id: conversationId });
    if (processed) this.#open.delete(conversationId);
    return processed && !events.some(({ kind }) => isFinal(kind));
  }

  stop(): Promise<void> {
    this.#stop.abort(new Error("The terminal has ended"));
    return this.ended.catch(() => undefined);
  }

  async #follow(): Promise<void> {
    const { client, clock, random, threadTs, onStatus } = this.#options;
    let hasOpened = false;
    const refused = new AbortController();
    let firstError: unknown;
    try {
      await followEvents({
        client,
        clock,
        random,
        path: `/events?${new URLSearchParams({ channel: CHANNEL, thread: threadTs })}`,
        signal: AbortSignal.any([this.#stop.signal, refused.signal]),
        onMessage: ({ event, data }) => (event === "process-event" ? this.#receive(data) : Promise.resolve()),
        onOpen: () => {
          if (hasOpened) void this.#readOpen().catch(() => undefined); // the stream goes on, and tells the rest
          hasOpened = true;
          this.#opened.resolve();
          onStatus(undefined);
        },
        onLost: (error) => {
          if (hasOpened) onStatus(LOST);
          else {
            firstError = error;
            refused.abort();
          }
        },
      });
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
      this.#opened.resolve();
      return this.#poll();
    }
    if (firstError !== undefined) throw unreachable(firstError, this.#options);
  }

  /** For a server that has no stream of events. */
  async #poll(): Promise<void> {
    const { clock, onStatus } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#readOpen();
        onStatus(undefined);
      } catch (error) {
        if (signal.aborted) return;
        if (refusedForGood(error) && !hasCode(error, "NOT_FOUND")) throw error;
        onStatus(LOST);
      }
      await wait(clock, POLL_MS, signal).catch(() => undefined);
    }
  }

  /** What came of our open messages while nobody followed: a stream without a past id begins with the present. */
  async #readOpen(): Promise<void> {
    for (const conversationId of this.#open) await this.readEvents(conversationId);
  }

  async #post({ content, idempotencyKey }: Line): Promise<number> {
    const { client, clock, random, threadTs, userId, onStatus } = this.#options;
    const body = {
      content,
      channel_id: CHANNEL,
      thread_ts: threadTs,
      user_id: userId,
      external_id: idempotencyKey,
    };
    for (let attempts = 1; ; attempts += 1) {
      try {
        const answer = await client.post("/message", { body, signal: this.#stop.signal });
        if (attempts > 1) onStatus(undefined);
        return postedSchema.parse(answer).conversation_id;
      } catch (error) {
        if (this.#stop.signal.aborted || refusedForGood(error)) throw error;
        onStatus(LOST);
      }
      const [baseMs, maxMs] = [BACKOFF_BASE_MS, MAX_BACKOFF_MS];
      await wait(
        clock,
        backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs: 0, random }),
        this.#stop.signal,
      );
    }
  }

  async #receive(data: string): Promise<void> {
    const { success, data: event } = streamedSchema.safeParse(JSON.parse(data));
    if (!success) return; // of a kind that a later Robson has: nothing that this one could show
    // An event may be quicker than the answer to the POST that it belongs to.
    if (!this.#open.has(event.conversation_id)) await Promise.allSettled(this.#posting);
    await this.#show(event);
  }

  async #show(event: z.infer<typeof streamedSchema>): Promise<void> {
    const { event_id: eventId, conversation_id: conversationId, kind, content } = event;
    if (isFinal(kind)) this.#open.delete(conversationId);
    await this.#options.onEvent({ eventId, conversationId, kind, content });
  }
}

function unreachable(error: unknown, { owner, client }: AttachedLinkOptions): RobsonError {
  return new RobsonError(
    "ALREADY_RUNNING",
    `Cannot open the terminal: ${owner} owns the database, and no server of it answers at ${client.url} (${messageOf(error)})`,
    {
      hint: "Set server.host and server.port in robson.toml to that agent's, or stop that process first",
      cause: error,
    },
  );
}
