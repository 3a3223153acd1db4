/** `GET /status`: how the loop and its gateways are, and what it knows of a message, for operators and their commands. */
import { Hono } from "hono";
import * as z from "zod";
import type { LoopHealth } from "../core/sensorium-loop.ts";
import type { ApiPart } from "../server/openapi.ts";
import { type MessageViewOptions, messageViewApi, messageViewRoutes } from "./message-view.ts";

/** What `GET /status` of a running agent answers. */
export const statusSchema = z.object({
  process: z.string().describe("How the process that runs the loop calls itself"),
  ready: z.boolean(),
  reason: z.string().nullable(),
  open_messages: z.number(),
  open_deliveries: z.number(),
  gateways: z.array(z.object({ name: z.string(), state: z.string(), last_error: z.string().nullable() })),
  unregistered: z.array(z.object({ gateway: z.string(), messages: z.number(), deliveries: z.number() })),
});

export type AgentStatus = z.output<typeof statusSchema>;

/** How the loop is, and what it knows of one message. */
export interface StatusOptions extends MessageViewOptions {
  /** How this process calls itself. */
  process: string;
  health(): LoopHealth;
}

export function statusRoutes(options: StatusOptions): Hono {
  const routes = new Hono();
  routes.get("/status", (c) => c.json(toStatus(options)));
  routes.route("/", messageViewRoutes(options));
  return routes;
}

function toStatus({ process, health }: StatusOptions) {
  const { isReady, reason, openMessages, openDeliveries, gateways, unregistered } = health();
  return {
    process,
    ready: isReady,
    reason: reason ?? null,
    open_messages: openMessages,
    open_deliveries: openDeliveries,
    gateways: gateways.map(({ name, state, lastError = null }) => ({ name, state, last_error: lastError })),
    unregistered,
  } satisfies AgentStatus;
}

/** What the description of the HTTP interface says of them. */
export function statusApi(): ApiPart {
  const messages = messageViewApi();
  const { $schema: _, ...schema } = z.toJSONSchema(statusSchema, { io: "input" });
  const content = { "application/json": { schema: { $ref: "#/components/schemas/Status" } } };
  return {
    paths: {
      "/status": {
        get: {
          summary: "How the loop and its gateways are",
          responses: {
            200: { description: "As of now", content },
            default: { $ref: "#/components/responses/Error" },
          },
        },
      },
      ...messages.paths,
    },
    schemas: { Status: schema, ...messages.schemas },
  };
}
