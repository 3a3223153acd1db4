/** What the server's description of the HTTP interface (OpenAPI) says of this gateway's routes. */
import { z } from "zod";
import { acceptedSchema, messageSchema } from "./inbound.ts";
import { newSubscriberSchema, subscriberSchema, subscribersSchema } from "./subscriber-routes.ts";

const failures = {
  429: { $ref: "#/components/responses/TryLater" },
  503: { $ref: "#/components/responses/TryLater" },
  default: { $ref: "#/components/responses/Error" },
};

/** The paths and schemas; those of subscribers where there are any. */
export function webhookApi(options: { hasSubscribers: boolean; isSigned: boolean }) {
  const { hasSubscribers, isSigned } = options;
  return {
    paths: { ...messagePaths(isSigned), ...(hasSubscribers ? subscriberPaths : {}) },
    schemas: Object.fromEntries(
      Object.entries({ ...messageSchemas, ...(hasSubscribers ? subscriberSchemas : {}) }).map(
        ([name, schema]) => {
          const { $schema: _, ...jsonSchema } = z.toJSONSchema(schema, { io: "input" });
          return [name, jsonSchema];
        },
      ),
    ),
  };
}

const messageSchemas = { Message: messageSchema, Accepted: acceptedSchema };

const subscriberSchemas = {
  NewSubscriber: newSubscriberSchema,
  Subscriber: subscriberSchema,
  Subscribers: subscribersSchema,
};

const messagePaths = (isSigned: boolean) => ({
  "/message": {
    post: {
      summary: "Hands a message over; answered when it is stored",
      security: [{ token: [] }, ...(isSigned ? [{ signature: [] }] : [])],
      parameters: [
        {
          name: "Idempotency-Key",
          in: "header",
          description: "The same as external_id, for clients that send it by themselves",
          schema: { type: "string" },
        },
      ],
      requestBody: { required: true, ...json("Message") },
      responses: { 202: { description: "It is stored", ...json("Accepted") }, ...failures },
    },
  },
});

const subscriberPaths = {
  "/subscribers": {
    post: {
      summary: "Subscribes a callback URL to the events that have no callback of their own",
      requestBody: { required: true, ...json("NewSubscriber") },
      responses: {
        200: { description: "It was there already", ...json("Subscriber") },
        201: { description: "It subscribes from now on", ...json("Subscriber") },
        ...failures,
      },
    },
    get: {
      summary: "All subscribers, the oldest first",
      responses: { 200: { description: "The list", ...json("Subscribers") }, ...failures },
    },
  },
  "/subscribers/{id}": {
    delete: {
      summary: "Ends a subscription; deliveries that have not arrived are closed",
      parameters: [{ name: "id", in: "path", required: true, schema: { type: "integer", minimum: 1 } }],
      responses: { 204: { description: "It has ended" }, ...failures },
    },
  },
};

function json(schema: string) {
  return { content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } } };
}
