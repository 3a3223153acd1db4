/**
 * The contract of the feed: all events in the order in which they became visible, to be read on from any place.
 * A cursor is such a place. Whoever has read up to one and reads on from it misses no event and meets none twice,
 * also over a restart of the program, and with several connections that commit side by side.
 */
import type { EventKind } from "./process-event.ts";

/** Which events are wanted; what is left out does not matter. All are about the message that an event answers. */
export interface EventFilter {
  conversationId?: number;
  channelId?: string;
  /** '' for messages without a thread. */
  threadTs?: string;
  gateway?: string;
}

/** An event with the thread that it belongs to. */
export interface FeedEvent {
  /** The place right behind this event. */
  cursor: string;
  eventId: number;
  conversationId: number;
  kind: EventKind;
  content: string;
  createdAt: number;
  /** The gateway that the message came through, or null for none. */
  gateway: string | null;
  channelId: string;
  threadTs: string;
}

export interface FeedPage {
  events: FeedEvent[];
  /** Where to read on. */
  cursor: string;
  /** False when there may be more to read at once. */
  isAtEnd: boolean;
  /** Whether there are events that cannot be shown yet, because an older transaction is still open. */
  isHeldBack: boolean;
}

export interface EventFeed {
  /** The place before every event. */
  readonly beginning: string;
  /** The place behind all that can be shown at this moment. */
  now(): Promise<string>;
  /**
   * The first `limit` events behind a cursor. Cursors of one database compare as strings: a later place is
   * greater. Throws `MESSAGE_INVALID` for a text that is no cursor of this database.
   */
  eventsAfter(cursor: string, options: { filter: EventFilter; limit: number }): Promise<FeedPage>;
}

/** Whether a filter lets an event through. */
export function isWanted(event: FeedEvent, filter: EventFilter): boolean {
  const { conversationId, channelId, threadTs, gateway } = filter;
  return (
    (conversationId === undefined || event.conversationId === conversationId) &&
    (channelId === undefined || event.channelId === channelId) &&
    (threadTs === undefined || event.threadTs === threadTs) &&
    (gateway === undefined || event.gateway === gateway)
  );
}
