/**
 * The state of what a person sees: entries that are finished, and work that runs. A pure reducer: what was said,
 * accepted, reported and warned of goes in, and each event is shown once, however often it arrives.
 */
import type { EventKind } from "../../core/process-event.ts";

/** An event as any way brings it: a delivery of this process's loop, or of another's over HTTP. */
export interface ShownEvent {
  eventId: number;
  conversationId: number;
  kind: EventKind;
  content: string;
}

export type EntryKind = "said" | "answer" | "failed" | "notice" | "warning";

/** One finished thing of the conversation; it never changes. */
export interface Entry {
  kind: EntryKind;
  text: string;
  /** The question that an answer belongs to, where that does not stand right above it. */
  about?: string;
  /** How long it took, where it was long enough to be worth a word. */
  elapsedMs?: number;
}

/** A message whose end has not come yet. */
export interface RunningWork {
  /** The key of the line that asked. */
  key: string;
  question: string;
  /** Unknown until the message is stored. */
  conversationId?: number;
  /** What it reported last. */
  progress?: string;
  startedAt: number;
}

export interface Conversation {
  finished: readonly Entry[];
  running: readonly RunningWork[];
  /** The ids of events that are shown, the oldest first. */
  seen: readonly number[];
  /** The question of the last entry, when that is a question. */
  openQuestion?: string | undefined;
}

export type ConversationAction =
  | { type: "said"; key: string; text: string; at: number }
  | { type: "accepted"; key: string; conversationId: number }
  | { type: "refused"; key: string; text: string }
  | { type: "event"; event: ShownEvent; at: number }
  | { type: "ended"; conversationId: number }
  | { type: "notice" | "warning"; text: string };

export const EMPTY_CONVERSATION: Conversation = { finished: [], running: [], seen: [] };

/** How many event ids are remembered, so that a repeated one is known. */
export const MAX_SEEN_EVENTS = 2000;
/** How many entries keep their text in memory, at least; twice as many at most. */
export const MAX_KEPT_ENTRIES = 500;
/** Work that ended faster says nothing of its time. */
export const MIN_TOLD_MS = 2000;

const FORGOTTEN: Entry = { kind: "notice", text: "" };

/** The state after one action. */
export function converse(state: Conversation, action: ConversationAction): Conversation {
  switch (action.type) {
    case "said": {
      const work: RunningWork = { key: action.key, question: action.text, startedAt: action.at };
      const said = withEntry(state, { kind: "said", text: action.text });
      return { ...said, running: [...state.running, work], openQuestion: action.key };
    }
    case "accepted":
      return {
        ...state,
        running: state.running.map((work) =>
          work.key === action.key ? { ...work, conversationId: action.conversationId } : work,
        ),
      };
    case "refused": {
      const running = state.running.filter(({ key }) => key !== action.key);
      return { ...withEntry(state, { kind: "failed", text: action.text }), running };
    }
    case "event":
      return withEvent(state, action);
    case "ended":
      return {
        ...state,
        running: state.running.filter((work) => work.conversationId !== action.conversationId),
      };
    default:
      return withEntry(state, { kind: action.type, text: action.text });
  }
}

/** Whether each event of the message has its end. */
export function isRunning(state: Conversation, conversationId: number): boolean {
  return state.running.some((work) => work.conversationId === conversationId);
}

function withEvent(state: Conversation, { event, at }: { event: ShownEvent; at: number }): Conversation {
  if (state.seen.includes(event.eventId)) return state;
  const seen = [...state.seen, event.eventId].slice(-MAX_SEEN_EVENTS);
  const work = state.running.find(({ conversationId }) => conversationId === event.conversationId);
  if (event.kind === "completed" || event.kind === "failed") {
    const running = state.running.filter((other) => other !== work);
    return { ...withEntry(state, finalEntry(state, { event, work, at })), running, seen };
  }
  if (work) {
    const running = state.running.map((other) =>
      other === work ? { ...work, progress: event.content } : other,
    );
    return { ...state, running, seen };
  }
  // Of a message that another session asked: there is no line to change.
  const about = `message ${event.conversationId}`;
  return { ...withEntry(state, { kind: "notice", text: event.content, about }), seen };
}

function finalEntry(
  state: Conversation,
  { event, work, at }: { event: ShownEvent; work: RunningWork | undefined; at: number },
): Entry {
  const elapsedMs = work === undefined ? 0 : at - work.startedAt;
  const about = aboutOf(state, { event, work });
  return {
    kind: event.kind === "failed" ? "failed" : "answer",
    text: event.content,
    ...(about !== undefined && { about }),
    ...(elapsedMs >= MIN_TOLD_MS && { elapsedMs }),
  };
}

function aboutOf(
  state: Conversation,
  { event, work }: { event: ShownEvent; work: RunningWork | undefined },
): string | undefined {
  if (work === undefined) return `message ${event.conversationId}`;
  return state.openQuestion === work.key ? undefined : work.question;
}

function withEntry(state: Conversation, entry: Entry): Conversation {
  const finished = [...state.finished, entry];
  const old = finished.length - MAX_KEPT_ENTRIES;
  // The place of an old entry must stay, for ink counts them; its text is on the terminal already.
  if (old > 0 && finished.length % MAX_KEPT_ENTRIES === 0) finished.fill(FORGOTTEN, 0, old);
  return { ...state, finished, openQuestion: undefined };
}
