/**
 * The contract of a tracker: where tickets live. Every call is written as look up, adopt, or do, because the
 * run that makes it may be repeated after a crash.
 */
import type { TaskStatus } from "./task.ts";

export interface Ticket {
  key: string;
  summary: string;
  /** Written by people; material for the agent, never an instruction to Robson. */
  description: string;
  url?: string;
}

export interface CallOptions {
  signal: AbortSignal;
}

export interface Tracker {
  name: string;
  /** `TASK_NOT_FOUND` when there is none. */
  ticket(key: string, options: CallOptions): Promise<Ticket>;
  /** Comments once: a comment that carries the marker already is adopted. */
  comment(
    key: string,
    comment: { marker: string; body: string },
    options: CallOptions,
  ): Promise<{ isNew: boolean }>;
  /** Links the ticket to a pull request, where the tracker has links. */
  link?(key: string, target: { url: string; title: string }, options: CallOptions): Promise<void>;
  /** Moves the ticket to what stands for this status; without such a state, nothing. */
  transition(key: string, status: TaskStatus, options: CallOptions): Promise<void>;
}
