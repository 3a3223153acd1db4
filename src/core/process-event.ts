/** What a worker reports about a message, and the order and weight of the four kinds. */

export const EVENT_KINDS = ["started", "progress", "completed", "failed"] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

export interface ProcessEvent {
  id: number;
  conversationId: number;
  kind: EventKind;
  content: string;
  createdAt: number;
  /** When the last of its targets had it; absent until then. */
  deliveredAt?: number;
}

/** `completed` and `failed` end a message; they are stored together with its end, never before. */
export function isFinal(kind: EventKind): boolean {
  return kind === "completed" || kind === "failed";
}
