/**
 * `GET /status/messages/:id`: what only the process that runs the loop knows of a message: how its workers take it,
 * whether it is at it now, and the limits that hold there. For `robson why`, which is another process.
 */
import { Hono } from "hono";
import * as z from "zod";
import type { OpenMessage } from "../core/control.ts";
import type { Limits } from "../core/limits.ts";
import type { Worker } from "../core/worker.ts";
import { type Facts, routeFacts } from "../plugins/operator/facts.ts";
import { type ConversationReader, conversationOf } from "../server/conversation-events.ts";
import type { ApiPart } from "../server/openapi.ts";

const limit = () => z.number();

const viewSchema = z.object({
  is_help: z.boolean().describe("Whether the loop answers it itself"),
  routes: z
    .array(
      z.object({
        worker: z.string(),
        by: z.string().describe("What it matched"),
        may_use: z.boolean(),
        may_use_error: z.string().nullable(),
        max_attempts: z.number().nullable(),
      }),
    )
    .describe("The workers that would be asked, in their order"),
  open: z
    .object({
      state: z.enum(["running", "waiting", "retrying"]),
      worker: z.string().nullable(),
      started_at: z.number().nullable(),
    })
    .nullable()
    .describe("Null where this process does not hold it in memory"),
  limits: z.object({
    max_message_attempts: limit(),
    max_delivery_attempts: limit(),
    max_interruptions: limit(),
    max_unregistered_gateway_ms: limit(),
    backoff_base_ms: limit(),
  }),
});

export interface MessageViewOptions {
  store: ConversationReader;
  limits: Limits;
  workers(): readonly Worker[];
  openMessages(): OpenMessage[];
}

export function messageViewRoutes({ store, limits, workers, openMessages }: MessageViewOptions): Hono {
  const routes = new Hono();
  routes.get("/status/messages/:id", async (c) => {
    const message = await conversationOf(store, c.req.param("id"));
    const { isHelp, routes: found } = routeFacts(message, workers());
    const open = openMessages().find(({ conversationId }) => conversationId === message.conversationId);
    const view: z.output<typeof viewSchema> = {
      is_help: isHelp,
      routes: found.map(({ worker, by, mayUse, mayUseError, maxAttempts }) => ({
        ...{ worker, by, may_use: mayUse },
        may_use_error: mayUseError ?? null,
        max_attempts: maxAttempts ?? null,
      })),
      open: open
        ? { state: open.state, worker: open.worker ?? null, started_at: open.startedAt ?? null }
        : null,
      limits: {
        max_message_attempts: limits.maxMessageAttempts,
        max_delivery_attempts: limits.maxDeliveryAttempts,
        max_interruptions: limits.maxInterruptions,
        max_unregistered_gateway_ms: limits.maxUnregisteredGatewayMs,
        backoff_base_ms: limits.backoffBaseMs,
      },
    };
    return c.json(view);
  });
  return routes;
}

/** An answer of this route as facts; undefined for anything else. */
export function toFacts(answer: unknown): Pick<Facts, "route" | "live" | "limits"> | undefined {
  const { data } = viewSchema.safeParse(answer);
  if (!data) return undefined;
  const { open, limits } = data;
  return {
    route: {
      isHelp: data.is_help,
      routes: data.routes.map(({ worker, by, may_use, may_use_error, max_attempts }) => ({
        ...{ worker, by, mayUse: may_use },
        mayUseError: may_use_error ?? undefined,
        maxAttempts: max_attempts ?? undefined,
      })),
    },
    live: open
      ? {
          state: open.state,
          worker: open.worker ?? undefined,
          ...(open.started_at === null ? {} : { startedAt: open.started_at }),
        }
      : undefined,
    limits: {
      maxMessageAttempts: limits.max_message_attempts,
      maxDeliveryAttempts: limits.max_delivery_attempts,
      maxInterruptions: limits.max_interruptions,
      maxUnregisteredGatewayMs: limits.max_unregistered_gateway_ms,
      backoffBaseMs: limits.backoff_base_ms,
    },
  };
}

/** What the description of the HTTP interface says of it. */
export function messageViewApi(): ApiPart {
  const { $schema: _, ...schema } = z.toJSONSchema(viewSchema, { io: "input" });
  const content = { "application/json": { schema: { $ref: "#/components/schemas/MessageView" } } };
  return {
    paths: {
      "/status/messages/{id}": {
        get: {
          summary: "What the process that runs the loop knows of a message, for robson why",
          parameters: [{ name: "id", in: "path", required: true, schema: { type: "integer", minimum: 1 } }],
          responses: {
            200: { description: "As of now", content },
            default: { $ref: "#/components/responses/Error" },
          },
        },
      },
    },
    schemas: { MessageView: schema },
  };
}
