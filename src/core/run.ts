/**
 * Long work as a worker sees it. A run outlives its message's attempt and the process: its finished steps are stored
 * with their results, and on a later attempt they return these instead of being done again. What waits for a person,
 * an event or a time holds no process.
 */
import type { EventKind } from "./process-event.ts";
import type { OwnWrite } from "./run-store.ts";

/** What JSON can hold. Results of steps, answers and events are stored as JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json | undefined };

/** How a worker's long work is done: its message is done when its run is stored, and the run has a lane of its own. */
export interface RunRules<Args = unknown> {
  /** At most one open run has this name: a second request is told which run is at it. Default: any number. */
  lane?(args: Args): string | undefined;
  /** What it is about, in one line; for lists. Default: the message's first line. */
  title?(args: Args): string;
  /** Raised when steps get another meaning. Default 1. */
  version?: number;
  /** The former versions whose runs this one can go on with. Default: none. */
  continues?: number[];
  /** What the program around the loop writes when a run ends otherwise than by its worker; committed with that end. */
  endWrites?(args: Args, end: RunEnd): OwnWrite[];
  /** Whether plain messages in its thread are passed on to it (`StepContext.notes`). Default: no. */
  takesNotes?: boolean;
}

/** A person stopped it, or it could not go on. Either way it can be taken up again. */
export interface RunEnd {
  /** Its number. */
  run: number;
  status: "stopped" | "dead";
  reason: string;
  at: number;
}

/** Inside a step: what is reported and written here is committed with the step's result, or not at all. */
export interface StepContext {
  emit(kind: Extract<EventKind, "started" | "progress">, content: string): void;
  /** Reports at once, whether or not the step ends well. After a crash the same may be told once more. */
  tell(content: string): Promise<void>;
  /** A write of the program around the loop that belongs to the step, as a task's new status. */
  write(write: OwnWrite): void;
  /** What was passed on to the run and not yet read by a finished step. */
  notes(): Promise<{ userId: string; content: string }[]>;
  /** What `notes` has told was for nothing: it is read again by a later step. */
  leaveNotes(): void;
  /** How often the step was begun: above 1, a former attempt ended before its result was stored. */
  attempt: number;
  signal: AbortSignal;
}

/**
 * Something outside: looked up first, adopted when it is there, made when it is not. The intention is stored before,
 * so that after a crash it is known that it may have happened.
 */
export interface Effect<T> {
  /** By which it is found again: a branch's name, a marker. The same in every attempt. */
  key: string;
  /** What is there, or undefined; `null` and `false` are refused, for they would be taken for what is there. */
  find(): Promise<T | undefined>;
  make(): Promise<T>;
}

export interface Question {
  text: string;
  /** The answers that it takes. Default: any text. */
  choices?: string[];
  /** When the run goes on without an answer, in milliseconds. Default: never. */
  timeoutMs?: number;
}

/** What a person answered; undefined where the time was over. */
export interface Answer {
  value: string;
  by: string;
}

/** What long work can do beside reporting; see `WorkerContext`. */
export interface RunContext {
  /**
   * Does the work once: its result (JSON) is stored with what it emitted, and returned without doing it again in later
   * attempts. Two steps of one name in a run are refused. A crash before the commit has the work done again.
   */
  step<T>(name: string, work: (step: StepContext) => Promise<T>): Promise<T>;
  /** A step that has an effect outside. A crash at any instant leaves at most what `find` finds. */
  effect<T>(name: string, effect: (step: StepContext) => Effect<T>): Promise<T>;
  /** Asks the thread, and waits without holding anything: `handle` is begun anew when the answer is there. */
  ask(name: string, question: Question): Promise<Answer | undefined>;
  /** Waits for at least so long, as `ask` does. */
  sleep(name: string, ms: number): Promise<void>;
  /** How often the run was begun: above 1, a person had it go on after its end. */
  readonly round: number;
  /** Waits until `Store.runs.signal` tells of this key; undefined when the time was over. */
  waitFor(name: string, event: { key: string; timeoutMs?: number }): Promise<Json | undefined>;
}

/**
 * Thrown through `handle` when the run has to wait. Let it pass: swallowed, it is thrown again by the next call, and
 * the run is not complete.
 */
export class Suspended extends Error {
  constructor() {
    super("The run waits; let this pass through handle()");
    this.name = "Suspended";
  }
}
