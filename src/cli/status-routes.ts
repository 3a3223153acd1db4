/** `GET /status`: how the loop and its gateways are, for operators and their commands. */
import { Hono } from "hono";
import * as z from "zod";
import type { LoopHealth } from "../core/sensorium-loop.ts";
import type { ApiPart } from "../server/openapi.ts";

/** What `GET /status` of a running agent answers. */
export const statusSchema = z.object({
  ready: z.boolean(),
  reason: z.string().nullable(),
  open_messages: z.number(),
  open_deliveries: z.number(),
  gateways: z.array(z.object({ name: z.string(), state: z.string(), last_error: z.string().nullable() })),
  unregistered: z.array(z.object({ gateway: z.string(), messages: z.number(), deliveries: z.number() })),
});

export type AgentStatus = z.output<typeof statusSchema>;

export function statusRoutes(health: () => LoopHealth): Hono {
  const routes = new Hono();
  routes.get("/status", (c) => c.json(toStatus(health())));
  return routes;
}

function toStatus({ isReady, reason, openMessages, openDeliveries, gateways, unregistered }: LoopHealth) {
  return {
    ready: isReady,
    reason: reason ?? null,
    open_messages: openMessages,
    open_deliveries: openDeliveries,
    gateways: gateways.map(({ name, state, lastError = null }) => ({ name, state, last_error: lastError })),
    unregistered,
  } satisfies AgentStatus;
}

/** What the description of the HTTP interface says of it. */
export function statusApi(): ApiPart {
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
    },
    schemas: { Status: schema },
  };
}
