/** `GET /conversations/:id/events`: what became of a message, for an asker who has no callback. */
import { Hono } from "hono";
import { RobsonError } from "../core/errors.ts";
import type { EventRecord, Store, StoredMessage } from "../core/store.ts";

/** What of the store this route reads. */
export type ConversationReader = Pick<Store, "conversation" | "events">;

/** The route over a store. */
export function conversationRoutes(store: ConversationReader): Hono {
  const routes = new Hono();
  routes.get("/conversations/:id/events", async (c) => {
    const conversation = await conversationOf(store, c.req.param("id"));
    // The conversation is read first: an end that it shows was stored together with its events.
    const events = await store.events(conversation.conversationId);
    const isProcessed = conversation.status === "done" || conversation.status === "dead";
    return c.json({ events: events.map(toJson), processed: isProcessed });
  });
  return routes;
}

/** The message of this id, or `NOT_FOUND`. */
export async function conversationOf(store: ConversationReader, id: string): Promise<StoredMessage> {
  const conversation = isId(id) ? await store.conversation(Number(id)) : undefined;
  if (conversation) return conversation;
  throw new RobsonError("NOT_FOUND", `Cannot find conversation "${id.slice(0, 20)}"`, {
    hint: "Use the conversation_id that POST /message answered",
  });
}

function isId(text: string): boolean {
  return /^[1-9]\d{0,15}$/.test(text) && Number.isSafeInteger(Number(text));
}

function toJson(event: EventRecord): object {
  return {
    event_id: event.id,
    kind: event.kind,
    content: event.content,
    created_at: toIso(event.createdAt),
    deliveries: event.deliveries.map((delivery) => ({
      delivery_id: delivery.deliveryId,
      gateway: delivery.gateway,
      target: delivery.target,
      status: delivery.status,
      attempts: delivery.attempts,
      delivered_at: delivery.deliveredAt === null ? null : toIso(delivery.deliveredAt),
      next_attempt_at: delivery.nextRetryAt === null ? null : toIso(delivery.nextRetryAt),
      last_error: delivery.lastError,
    })),
  };
}

function toIso(instant: number): string {
  return new Date(instant).toISOString();
}
