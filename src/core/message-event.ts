/**
 * A message on its way in (`received`) and an event on its way out (`delivered`), as gateways and workers
 * see them. Rows of the database never leave the store; these do.
 */
import type { EventKind } from "./process-event.ts";

interface MessageFields {
  /** A uuid. Of a received message: its own. Of a delivered one: the delivery's, the same at each attempt. */
  id: string;
  /** Markdown; each gateway renders it for its platform. */
  content: string;
  channelId: string;
  userId: string;
  /** The thread within the channel; absent where there is none. */
  threadTs?: string;
  /** The row of the message in `conversations`. */
  conversationId: number;
}

/** One thing that someone said. */
export interface ReceivedMessage extends MessageFields {
  kind: "received";
  /** The name of the gateway it came through; absent for a message that Robson itself started. */
  gateway?: string;
  /** Whether the bot was meant: mentioned, written to directly, or a command. */
  isAddressed: boolean;
  createdAt: number;
}

/** One process event on its way to one target through one gateway. */
export interface Delivery extends MessageFields {
  kind: "delivered";
  gateway: string;
  /** Where it goes: a channel id, or a callback URL. Equals `channelId` where the gateway has channels. */
  target: string;
  eventId: number;
  eventKind: EventKind;
  /** 1 for the first attempt. */
  attempt: number;
  createdAt: number;
}

export type MessageEvent = ReceivedMessage | Delivery;

/** What a gateway hands over when someone said something. */
export interface InboundMessage {
  content: string;
  channelId: string;
  userId?: string;
  threadTs?: string;
  /** The platform's id of the message. A second message with the same key is a duplicate and runs nothing. */
  idempotencyKey?: string;
  /** Default: true. Pass false for what was merely overheard: then only a match is answered. */
  isAddressed?: boolean;
}
