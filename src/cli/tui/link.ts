/**
 * What a terminal needs of a loop, whether this process runs it (local-link.ts) or another one that is reached
 * over HTTP (attached-link.ts).
 */
import type { Worker } from "../../core/worker.ts";
import type { ShownEvent } from "../../gateways/tui/conversation.ts";

export interface Line {
  content: string;
  /** Of this line alone: it may be handed over again when it is unknown whether it arrived. */
  idempotencyKey: string;
}

export interface LinkOptions {
  /** The thread of this session. */
  threadTs: string;
  userId: string;
  /** Shows an event, and resolves when it is shown. May get one twice. */
  onEvent(event: ShownEvent): Promise<void>;
  /** A word on the connection, for as long as it holds; undefined: all is well. */
  onStatus(status: string | undefined): void;
}

export interface TerminalLink {
  /** Whom one talks with, for the first line. */
  greeting: string;
  /** What is said when the person ends the session. */
  farewell: { stopping: string; stopped: string };
  /** The gateway by which its messages come, and their channel. */
  place: { gateway: string; channelId: string };
  /** Those of its loop, where that runs in this process. */
  workers?: readonly Worker[];
  /** Resolves with the conversation id once the message is stored. */
  say(line: Line): Promise<number>;
  /** Whether a message has ended without a final answer, of which no event would tell. */
  hasEndedSilently(conversationId: number): Promise<boolean>;
  /** Settles when no more events will come; rejects with why it could not go on. */
  ended: Promise<void>;
  /** Ends it gracefully: events may come until it resolves. Safe to call twice. */
  stop(): Promise<void>;
}
