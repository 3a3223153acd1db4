/**
 * The routes of the server and what stands before them: health and the description for everyone, then access, then
 * the limits on requests, then the mounted routes. Every error is rendered here.
 */
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import type { Clock } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { carriesSignature, refuseForeignPages, requireToken } from "./access.ts";
import { carriesControl } from "./control-messages.ts";
import { type ConversationReader, conversationRoutes } from "./conversation-events.ts";
import type { EventRoutes } from "./event-routes.ts";
import { errorResponse } from "./http-errors.ts";
import type { ApiPart } from "./openapi.ts";
import { limitRate } from "./rate-limit.ts";
import type { RefusalLog } from "./refusal-log.ts";
import { limitBytes, limitConcurrency } from "./under-way.ts";

export interface Health {
  isReady: boolean;
  /** Why not. */
  reason?: string | undefined;
}

export interface AppOptions {
  token: string | undefined;
  routes: readonly Hono[];
  store: ConversationReader;
  health: () => Health;
  log: Logger;
  refusals: RefusalLog;
  clock: Clock;
  maxConcurrentRequests: number;
  maxBytesUnderWay: number;
  maxRequestsPerMinute: number;
  /** Whether a message is for the loop itself, as `/stop`. */
  isControl(content: string): boolean;
  /** The stream of events, where there is one. */
  events: EventRoutes | undefined;
  /** Routes that check the signature of a request themselves, where it carries one instead of the token. */
  signedPaths: readonly string[];
  /** Asked when somebody wants to read it. */
  api(): readonly ApiPart[];
}

type Env = { Bindings: HttpBindings };

/** Everything the server answers. */
export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", (c) => readiness(c, options.health()));

  let description: object | undefined;
  app.get("/openapi.json", async (c) => {
    const { describeApi } = await import("./openapi.ts");
    description ??= describeApi({ api: options.api(), events: options.events });
    return c.json(description);
  });

  const isSigned = (c: Context) => carriesSignature(c) && options.signedPaths.includes(c.req.path);
  const access = options.token === undefined ? refuseForeignPages() : requireToken(options.token);
  app.use((c, next) => (isSigned(c) ? next() : access(c, next)));
  const { maxRequestsPerMinute, maxConcurrentRequests, clock } = options;
  // Each kind of request, by the first part of its path, has limits of its own, and so have messages for the loop itself:
  // whoever sends too many messages can still ask how things are, and stop them. Paths that nobody answers are one kind:
  // there is no end of them.
  const kindOf = (path: string) => (kinds.has(firstPart(path)) ? firstPart(path) : "");
  const callerOf = (c: Context) => `${isSigned(c) ? "signature" : "token"} ${kindOf(c.req.path)}`;
  const isUrgent = carriesControl(options.isControl);
  app.use(limitRate({ maxRequestsPerMinute, clock, callerOf, isUrgent }));
  app.use(limitConcurrency({ maxConcurrentRequests, kindOf, isUrgent }));
  app.use(limitBytes(options.maxBytesUnderWay));
  if (options.events) app.route("/", options.events.routes);
  for (const routes of [conversationRoutes(options.store), ...options.routes]) app.route("/", routes);
  const kinds = new Set(app.routes.map(({ path }) => firstPart(path)));

  app.notFound((c) => {
    const error = new RobsonError("NOT_FOUND", `Cannot find ${c.req.method} ${c.req.path.slice(0, 100)}`, {
      hint: "See the reference of the HTTP interface for its routes",
    });
    return errorResponse(error, options.log);
  });
  app.onError((error, c) => {
    // Its sender hung up in the middle of the body: nobody reads the answer, and nothing of ours failed.
    if (c.env?.incoming?.errored || c.env?.incoming?.readableAborted) return c.body(null, 400);
    const response = errorResponse(error, options.log);
    options.refusals.count({ error, status: response.status });
    return response;
  });
  return app;
}

function firstPart(path: string): string {
  return path.split("/", 2)[1] ?? "";
}

function readiness(c: Context, { isReady, reason }: Health): Response {
  if (isReady) return c.json({ status: "ready" });
  return c.json({ status: "not ready", reason: reason ?? "not started yet" }, 503, { "retry-after": "2" });
}
