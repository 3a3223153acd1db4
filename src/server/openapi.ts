/**
 * The description of the HTTP interface (OpenAPI 3.1), served at `/openapi.json`. Schemas are made from the same zod
 * schemas that the tests hold real answers against; what gateways mount, they describe themselves (`ApiPart`).
 */
import * as z from "zod";
import { EVENT_KINDS } from "../core/process-event.ts";
import type { Status } from "../core/store.ts";
import { eventsQuerySchema } from "./event-routes.ts";

/** What mounted routes add: paths and schemas as OpenAPI has them. */
export interface ApiPart {
  paths: Record<string, object>;
  schemas: Record<string, object>;
}

const STATUSES = ["pending", "claimed", "done", "dead"] as const satisfies readonly Status[];

const instant = () => z.iso.datetime();
const id = () => z.int().min(1);

const schemas = {
  Error: z.strictObject({
    code: z
      .string()
      .describe("What went wrong, for programs; the codes are listed in docs/reference/errors.md"),
    message: z.string().describe("What could not be done, and why"),
    hint: z.string().nullable().describe("What to do next"),
  }),
  Health: z.strictObject({ status: z.literal("ok") }),
  Readiness: z.strictObject({ status: z.enum(["ready", "not ready"]), reason: z.exactOptional(z.string()) }),
  ConversationEvents: z.strictObject({
    events: z.array(
      z.strictObject({
        event_id: id(),
        kind: z.enum(EVENT_KINDS),
        content: z.string().describe("Markdown"),
        created_at: instant(),
        deliveries: z.array(
          z.strictObject({
            delivery_id: z.string(),
            gateway: z.string(),
            target: z.string().describe("Where it goes: a channel, a callback URL, that of a subscriber"),
            status: z
              .enum(STATUSES)
              .describe(
                "pending: to be tried; claimed: under way; done: delivered or closed; dead: given up",
              ),
            attempts: z.int().min(0),
            delivered_at: instant().nullable().describe("Null where it is done: closed without"),
            next_attempt_at: instant().nullable(),
            last_error: z.string().nullable(),
          }),
        ),
      }),
    ),
    processed: z.boolean().describe("Whether nothing more will come"),
  }),
  ProcessEvent: z.strictObject({
    event_id: id(),
    conversation_id: id(),
    kind: z.enum(EVENT_KINDS),
    content: z.string().describe("Markdown"),
    created_at: instant(),
    gateway: z.string().nullable().describe("The gateway that the message came through"),
    channel_id: z.string(),
    thread_ts: z.string().nullable(),
  }),
};

/** The whole description; `api` is what the mounted routes add. */
export function describeApi(options: { api: readonly ApiPart[]; events: object | undefined }): object {
  const { events, api } = options;
  const parts = [{ paths: { ...basePaths, ...(events ? eventPaths : {}) }, schemas: {} }, ...api];
  return {
    openapi: "3.1.0",
    info: {
      title: "Robson",
      version: "1",
      description: "Messages in, process events out. docs/reference/http.md has it in words.",
    },
    security: [{ token: [] }],
    paths: Object.assign({}, ...parts.map(({ paths }) => paths)),
    components: {
      schemas: Object.assign(toJsonSchemas(schemas), ...parts.map((part) => part.schemas)),
      responses: {
        Error: { description: "It could not be done", ...json("Error") },
        TryLater: {
          description: "Not now: send it again after the time in Retry-After",
          headers: { "Retry-After": { schema: { type: "integer" }, description: "Seconds" } },
          ...json("Error"),
        },
      },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "ROBSON_TOKEN, where one is set" },
        signature: {
          type: "apiKey",
          in: "header",
          name: "webhook-signature",
          description:
            "Standard Webhooks: with webhook-id and webhook-timestamp, by ROBSON_WEBHOOK_INBOUND_SECRET",
        },
      },
    },
  };
}

const failures = { default: refer("responses", "Error"), 429: refer("responses", "TryLater") };

const basePaths = {
  "/healthz": {
    get: {
      summary: "Whether the process lives",
      security: [],
      responses: { 200: answer("It does", "Health") },
    },
  },
  "/readyz": {
    get: {
      summary: "Whether messages are accepted",
      security: [],
      responses: { 200: answer("They are", "Readiness"), 503: answer("Not now", "Readiness") },
    },
  },
  "/openapi.json": {
    get: {
      summary: "This description",
      security: [],
      responses: { 200: { description: "OpenAPI 3.1", content: { "application/json": {} } } },
    },
  },
  "/conversations/{id}/events": {
    get: {
      summary: "What became of a message",
      parameters: [{ name: "id", in: "path", required: true, schema: { type: "integer", minimum: 1 } }],
      responses: { 200: answer("Its events so far", "ConversationEvents"), ...failures },
    },
  },
};

const eventPaths = {
  "/events": {
    get: {
      summary: "A stream of process events (Server-Sent Events)",
      description:
        "Each message has the event name process-event, a ProcessEvent as its data, and as its id the place to go on from.",
      parameters: [
        ...Object.entries(eventsQuerySchema.shape).map(([name, schema]) => ({
          name,
          in: "query",
          description: schema.description,
          schema: withoutDialect(z.toJSONSchema(schema)),
        })),
        {
          name: "Last-Event-ID",
          in: "header",
          description: "Go on behind this event",
          schema: { type: "string" },
        },
      ],
      responses: {
        200: {
          description: "The stream; it does not end by itself",
          content: { "text/event-stream": { schema: { type: "string" } } },
        },
        ...failures,
      },
    },
  },
};

function toJsonSchemas(zodSchemas: Record<string, z.ZodType>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(zodSchemas).map(([name, schema]) => [name, withoutDialect(z.toJSONSchema(schema))]),
  );
}

/** The document says once which dialect its schemas are in. */
function withoutDialect({ $schema: _, ...schema }: z.core.JSONSchema.BaseSchema): object {
  return schema;
}

function refer(section: "schemas" | "responses", name: string): { $ref: string } {
  return { $ref: `#/components/${section}/${name}` };
}

function json(schema: string) {
  return { content: { "application/json": { schema: refer("schemas", schema) } } };
}

function answer(description: string, schema: string): object {
  return { description, ...json(schema) };
}
