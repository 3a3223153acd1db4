/** `GET /events`: all events as they are stored, or those of one conversation, channel, thread or gateway. */
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import * as z from "zod";
import type { Clock } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import type { EventFeed, EventFilter } from "../core/event-feed.ts";
import type { Logger } from "../core/logger.ts";
import { preview } from "../core/text.ts";
import { type ConversationReader, conversationOf } from "./conversation-events.ts";
import { EventHub } from "./event-hub.ts";
import { EventStream, PAGE_SIZE } from "./event-stream.ts";

export interface EventSource {
  feed: EventFeed;
  /** Tells when events may have been stored, as `SensoriumLoop.onEvents`. Without it they are looked for. */
  onEvents?: ((callback: () => void) => () => void) | undefined;
}

export interface EventRoutesOptions extends EventSource {
  store: ConversationReader;
  clock: Clock;
  log: Logger;
  maxEventStreams: number;
  maxStreamBufferBytes: number;
  heartbeatMs: number;
}

/** How often events are looked for where something tells of them, and where nothing does. */
const FALLBACK_POLL_MS = 5000;
const POLL_MS = 1000;

/** What may stand in the query. */
export const eventsQuerySchema = z.strictObject({
  conversation: z.exactOptional(z.string()).describe("Only events of this conversation_id"),
  channel: z.exactOptional(z.string()).describe("Only events of messages of this channel_id"),
  thread: z
    .exactOptional(z.string())
    .describe("Only events of this thread_ts; empty: of messages without one"),
  gateway: z.exactOptional(z.string()).describe("Only events of messages that came through this gateway"),
  since: z
    .exactOptional(z.literal("beginning"))
    .describe("With conversation: from its first event. Default: from now on"),
});

export interface EventRoutes {
  routes: Hono<{ Bindings: HttpBindings }>;
  /** Ends every stream at once. */
  close(): void;
}

export function eventRoutes(options: EventRoutesOptions): EventRoutes {
  const { feed, onEvents, clock, log, store, maxEventStreams, maxStreamBufferBytes, heartbeatMs } = options;
  const pollMs = onEvents ? FALLBACK_POLL_MS : POLL_MS;
  const hub = new EventHub({ feed, onEvents, pollMs, clock, log });
  const streams = new Set<EventStream>();
  let opening = 0;
  let isClosed = false;
  const routes = new Hono<{ Bindings: HttpBindings }>();

  routes.get("/events", async (c) => {
    const { filter, isFromBeginning } = readQuery(c.req.queries());
    if (filter.conversationId !== undefined) await conversationOf(store, String(filter.conversationId));
    if (streams.size + opening >= maxEventStreams) throw tooMany(maxEventStreams);
    opening += 1;
    try {
      const given = c.req.header("last-event-id") || (isFromBeginning ? feed.beginning : undefined);
      const cursor = given ?? (await feed.now());
      // Read before the answer begins, so that what is wrong with it is an answer of its own.
      const page = await feed.eventsAfter(cursor, { filter, limit: PAGE_SIZE });
      const { incoming, outgoing: response } = c.env;
      if (isClosed) throw stopping();
      if (response.destroyed || incoming.method === "HEAD") return c.body(null, 200);
      const stream: EventStream = new EventStream({
        ...{ response, feed, hub, filter, clock, log, heartbeatMs, maxBufferedBytes: maxStreamBufferBytes },
        onEnd: () => streams.delete(stream),
      });
      streams.add(stream);
      void stream.run({ page, cursor });
      return RESPONSE_ALREADY_SENT;
    } finally {
      opening -= 1;
    }
  });

  return {
    routes,
    close() {
      isClosed = true;
      for (const stream of streams) stream.end();
    },
  };
}

function readQuery(queries: Record<string, string[]>): { filter: EventFilter; isFromBeginning: boolean } {
  const repeated = Object.keys(queries).find((name) => (queries[name]?.length ?? 0) > 1);
  if (repeated !== undefined) throw invalid(`"${preview(repeated, 40)}" is given more than once`);
  const parsed = eventsQuerySchema.safeParse(
    Object.fromEntries(Object.entries(queries).map(([name, values]) => [name, values[0]])),
  );
  if (!parsed.success) throw invalid(describe(parsed.error));
  const { conversation, channel, thread, gateway, since } = parsed.data;
  if (conversation !== undefined && !/^[1-9]\d{0,15}$/.test(conversation)) {
    throw invalid(`conversation is "${preview(conversation, 20)}", which is no conversation_id`);
  }
  if (since !== undefined && conversation === undefined) throw invalid("since needs a conversation");
  const filter: EventFilter = {
    ...(conversation !== undefined && { conversationId: Number(conversation) }),
    ...(channel !== undefined && { channelId: channel }),
    ...(thread !== undefined && { threadTs: thread }),
    ...(gateway !== undefined && { gateway }),
  };
  return { filter, isFromBeginning: since !== undefined };
}

function describe(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue?.code === "unrecognized_keys") return `unknown parameter "${preview(issue.keys[0] ?? "", 40)}"`;
  return `${issue?.path.join(".")} can only be "beginning"`;
}

function invalid(why: string): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot open a stream of events: ${why}`, {
    hint: `Known parameters are ${Object.keys(eventsQuerySchema.shape).join(", ")}; since=beginning needs a conversation`,
  });
}

function stopping(): RobsonError {
  return new RobsonError("STOPPING", "Cannot open a stream of events: the server is about to end", {
    hint: "Connect again with the same Last-Event-ID after the time in Retry-After",
  });
}

function tooMany(maxEventStreams: number): RobsonError {
  return new RobsonError(
    "RATE_LIMITED",
    `Cannot open a stream of events: maxEventStreams (${maxEventStreams}) are open`,
    { hint: "Close one that is not needed, or raise server.max_event_streams in robson.toml" },
  );
}
