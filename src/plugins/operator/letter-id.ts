/**
 * The ids of messages and deliveries as a person types them: `message-12`, and `delivery-34-2b1f9c03`, which is the
 * event's number and the beginning of the delivery id. They never change. Of the last part any beginning will do, and
 * nothing at all where the event has one dead delivery only.
 */
export type LetterId =
  | { kind: "message"; conversationId: number }
  | { kind: "delivery"; eventId: number; deliveryIdStart: string };

/** How much of the delivery id is shown: a thousand deliveries of one event differ in it. */
const SHOWN_DELIVERY_ID = 8;

/** The id that is shown for a message, or for one of its deliveries. */
export function letterId(letter: {
  conversationId: number;
  delivery?: { eventId: number };
  deliveryId?: string;
}): string {
  const { conversationId, delivery, deliveryId = "" } = letter;
  if (!delivery) return `message-${conversationId}`;
  return deliveryLetterId({ eventId: delivery.eventId, deliveryId });
}

export function deliveryLetterId({ eventId, deliveryId }: { eventId: number; deliveryId: string }): string {
  return `delivery-${eventId}-${deliveryId.slice(0, SHOWN_DELIVERY_ID)}`;
}

/** Undefined for anything else. Case and white space around it do not matter. */
export function parseLetterId(text: string): LetterId | undefined {
  const parts = /^(message|delivery)-([1-9]\d{0,14})(?:-([0-9a-z][0-9a-z-]*))?$/.exec(
    text.trim().toLowerCase(),
  );
  if (!parts) return undefined;
  const [, kind, number, rest = ""] = parts;
  if (kind === "delivery") return { kind, eventId: Number(number), deliveryIdStart: rest };
  return rest === "" ? { kind: "message", conversationId: Number(number) } : undefined;
}
