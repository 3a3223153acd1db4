/**
 * What is stored of a run: the long work that a message started. A run has its message's number. Its rows are
 * written by its owner together with the message's (`Change.run`), and by anyone who answers it (`RunRecords`).
 */

/** `open` is being worked on or waits for its turn, `waiting` for a person, an event or a time; the others have ended. */
export type RunStatus = "open" | "waiting" | "done" | "failed" | "stopped" | "dead";

/** What a message in memory carries of its run. */
export interface RunReference {
  worker: string;
  /** In a lane of its own, beside its thread. */
  isDetached: boolean;
  /** False once it has ended, as before a dead letter is tried again. */
  isOpen: boolean;
  /** How often it was begun: 1, and 1 more each time that a person has it go on after its end. */
  round: number;
  /** The version of the worker that began it. */
  version: number;
}

export interface NewRun {
  worker: string;
  version: number;
  isDetached: boolean;
  /** At most one open run has this name; null for any number. */
  lane: string | null;
  /** What it is about, in one line. */
  title: string;
  createdAt: number;
}

/** A step, known by its run and its name. A result is JSON; a step without one has begun and not ended. */
export interface StepChange {
  name: string;
  /** The n-th step of its run, from 0. */
  ordinal: number;
  begunAt: number;
  /** How often it was begun. */
  attempts: number;
  result?: string;
  endedAt?: number;
}

/** Something outside that a step looked up or made, under a key by which it is found again. */
export interface EffectChange {
  step: string;
  key: string;
  /** `intended` before the call; what the call has made, or found, after it. */
  outcome: "intended" | "found" | "made";
  at: number;
}

/** What a run waits for: a person's answer, an event from outside, or a time. */
export interface NewDecision {
  name: string;
  kind: "question" | "event" | "sleep";
  /** The question's text. */
  text: string;
  /** The answers that it takes; empty: any text. */
  choices: string[];
  /** Of an event: what it is known by. */
  key: string | null;
  askedAt: number;
  /** When the run goes on without an answer. */
  dueAt: number | null;
}

/** A write of a program around the loop that is committed with a step: the store knows what its kind does. */
export interface OwnWrite {
  kind: string;
  [field: string]: unknown;
}

/** What changes in a run; committed with the `Change` that carries it. Writing it twice changes nothing more. */
export interface RunChange {
  conversationId: number;
  /** Which time that it was begun `status` speaks of, and `writes` with it: of an earlier one they change nothing. Default: any. */
  round?: number;
  /** Begins it, or has one that has ended go on. Rejects with `RUN_EXISTS` while another open run has its lane. */
  begin?: NewRun & { round: number };
  step?: StepChange;
  effect?: EffectChange;
  decisions?: NewDecision[];
  /** The messages that were passed on to it, and that it has read now. */
  notesTaken?: number[];
  writes?: OwnWrite[];
  /**
   * A message of its thread that it is to read, or the answer to one of its questions. Rejects with `RUN_INVALID` when
   * the run has ended, or the question is answered.
   */
  passedOn?: Omit<RunNote, "takenAt"> & {
    answers?: { name: string; value: string; by: string; at: number };
  };
  /** With the reason in words where it has ended otherwise than well. */
  status?: { value: RunStatus; reason: string | null; at: number };
}

export interface RunRecord extends NewRun {
  conversationId: number;
  gateway: string | null;
  channelId: string;
  threadTs: string;
  userId: string;
  status: RunStatus;
  reason: string | null;
  round: number;
  updatedAt: number;
  endedAt: number | null;
  /** Who wants it ended, while it is open. */
  stoppedBy: string | null;
}

export interface StepRecord extends Omit<StepChange, "result" | "endedAt"> {
  result: string | null;
  endedAt: number | null;
}

export interface DecisionRecord extends NewDecision {
  /** JSON; null while nobody has answered. */
  answer: string | null;
  answeredBy: string | null;
  answeredAt: number | null;
}

/** A message that was passed on to a run. What has answered a question is taken at once. */
export interface RunNote {
  /** Of the message. */
  conversationId: number;
  userId: string;
  content: string;
  createdAt: number;
  takenAt: number | null;
}

/** An open run by its thread. */
export type RunThread = Pick<RunRecord, "conversationId" | "gateway" | "channelId" | "threadTs">;

export interface RunDetails extends RunRecord {
  steps: StepRecord[];
  effects: EffectChange[];
  /** In the order in which they were asked. */
  decisions: DecisionRecord[];
  /** In the order of their messages, which is not always the one in which they were passed on. */
  notes: RunNote[];
}

export interface RunFilter {
  isOpen?: boolean;
  /** Runs of one thread. */
  thread?: { gateway: string | null; channelId: string; threadTs: string };
  /** Those of one lane. */
  lane?: string;
  /** Default: 100. The newest first. */
  limit?: number;
}

/** What anyone may read and say about runs. Nothing here is fenced; what wakes a run wakes its owner. */
export interface RunRecords {
  run(conversationId: number): Promise<RunDetails | undefined>;
  runs(filter: RunFilter): Promise<RunRecord[]>;
  /** The threads of the open runs that have a lane of their own, or wait: of ids above `after`, in their order. */
  openThreads(page: { after: number; limit: number }): Promise<RunThread[]>;
  /** Answers a question. False when there is none open of that name (or any, where none is named). */
  answer(
    conversationId: number,
    answer: { name?: string; value: unknown; by: string; at: number },
  ): Promise<boolean>;
  /** Tells all runs that wait for this key, and keeps it for those that will. Returns how many were waiting. */
  signal(key: string, event: { value: unknown; at: number }): Promise<number>;
  /**
   * Has a run that was stopped, has failed or is dead go on after its finished steps. False when it is open, done or not
   * there: who asks again, because he was not told, does not begin anew what has ended well meanwhile.
   */
  reopen(conversationId: number): Promise<boolean>;
}
