/**
 * The contract of a worker: what handles the messages that match its pattern or command. A worker may be run
 * again for the same message after a crash or an error; its events are stored once all the same.
 */
import { wholeTypeOf } from "./arguments/argument-shape.ts";
import type { OutputOf, StandardSchema } from "./arguments/standard-schema.ts";
import type { LoopControl } from "./control.ts";
import { RobsonError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { ReceivedMessage } from "./message-event.ts";
import { named } from "./named.ts";
import { misspelt } from "./nearest.ts";
import type { KeyValues } from "./parse-kv.ts";
import type { EventKind } from "./process-event.ts";
import type { RunContext, RunRules } from "./run.ts";

export interface WorkerContext extends RunContext {
  /**
   * Reports to the asker. `started` and `progress` are stored, and on their way, when this resolves.
   * `completed` and `failed` are kept back and stored with the end of the message; when the worker throws
   * they are discarded. The n-th emit of a message is stored once, however often the worker is run.
   * A text that is empty is refused.
   */
  emit(kind: EventKind, content: string): Promise<void>;
  /** Aborted when the worker's time is up or the loop stops. */
  signal: AbortSignal;
  /** The content without a leading mention and without the worker's command. */
  text: string;
  /** 1 for the first attempt at this message. */
  attempt: number;
  log: Logger;
  /** What is open in this process, and how to stop it. */
  control: LoopControl;
}

/** Who asks, and where. */
export type Asker = Pick<ReceivedMessage, "gateway" | "channelId" | "threadTs" | "userId">;

export interface Worker<Args = unknown> {
  /** Unique within a loop; stands in logs and records. */
  name: string;
  description: string;
  /** How it is asked for, as `/help` shows it: `/echo hello`. */
  example: string;
  /**
   * Searched anywhere in the raw content unless anchored. RE2 syntax: no look-around, no back-references,
   * linear time. Leave out both `pattern` and `command` to make the fallback worker.
   */
  pattern?: string | RegExp;
  /** One word or more from a slash on, as `/task create`; recognised at the start, after an optional mention. */
  command?: string;
  /**
   * What follows the command, typed by any Standard Schema (zod, valibot, …): positional, `key=value`,
   * `--key value`, flags. A mistake is answered with what is wrong and the usage; the worker is not run.
   * Without it `args` are the `key=value` pairs of the content. See docs/reference/arguments.md.
   */
  args?: StandardSchema<unknown, Args>;
  /** Default: `limits.workerTimeoutMs`. */
  timeoutMs?: number;
  /** Default: `limits.maxMessageAttempts`. */
  maxAttempts?: number;
  /** How many messages it handles at once. Default: as many as the loop does. */
  maxConcurrent?: number;
  /**
   * True for commands about the loop itself (`/stop`, `/status`): handled at once, beside the thread's other
   * messages and beyond all limits of admission, in slots of their own.
   */
  isControl?: boolean;
  /**
   * Set for work that takes long: the message is done, and its thread goes on, when the run is stored; the run has a
   * lane of its own. (Steps, questions and sleep are there for every worker.)
   */
  run?: RunRules<Args>;
  /** Who may use it; it is shown in `/help` to nobody else. Default: everybody. Must be quick and pure. */
  mayUse?(asker: Asker): boolean;
  /**
   * Works on one message. Resolve with `false` to pass it on to the next worker that matches; anything else
   * means handled: emit `completed` or `failed` before, or whoever asked gets no answer.
   */
  handle(message: ReceivedMessage, args: Args, context: WorkerContext): Promise<unknown>;
}

/** A worker whose arguments have a schema, and so a type. */
export type TypedWorker<S extends StandardSchema> = Omit<Worker<OutputOf<S>>, "args"> & { args: S };

/** Checks a worker's shape at once, so that a mistake shows where it was made. */
export function defineWorker<S extends StandardSchema>(worker: TypedWorker<S>): Worker;
export function defineWorker(worker: Worker<KeyValues> & { args?: undefined }): Worker;
export function defineWorker(worker: Worker): Worker;
export function defineWorker(
  worker: Omit<Worker, "args" | "handle"> & { args?: unknown; handle: unknown },
): Worker {
  if (typeof worker !== "object" || worker === null) {
    throw new RobsonError("WORKER_INVALID", `Cannot define a worker: it is ${named(worker)}`, {
      hint: "Look at where it is imported from; a worker is { name, description, example, handle }",
    });
  }
  const refuse = (why: string, hint: string) => {
    throw new RobsonError("WORKER_INVALID", `Cannot define worker "${worker.name}": ${why}`, { hint });
  };
  for (const part of ["name", "description", "example"] as const) {
    if (typeof worker[part] !== "string" || worker[part].trim() === "") {
      refuse(`it has no ${part}`, "A worker needs a name, and a description and an example for /help");
    }
  }
  if (typeof worker.handle !== "function")
    refuse("it has no handle()", "Add async handle(message, args, context)");
  refuseWrong({ ...worker }, { kinds: KINDS, refuse });
  if (worker.run !== undefined) {
    const ofRun = (why: string, hint: string) => refuse(`its run: ${why}`, hint);
    refuseWrong({ ...worker.run }, { kinds: RUN_KINDS, refuse: ofRun });
  }
  refuseContradictions(worker, refuse);
  return worker as Worker;
}

const isFunction = (value: unknown) => typeof value === "function";
const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 1;
const isText = (value: unknown) => typeof value === "string" && value.trim() !== "";

/** A part that may be left out, and what it has to be where it is not. */
interface Kind<Whole> {
  part: keyof Whole & string;
  isRight(value: unknown): boolean;
  kind: string;
}

const KINDS: Kind<Worker>[] = [
  {
    part: "pattern",
    isRight: (value) => isText(value) || value instanceof RegExp,
    kind: "a text or a RegExp",
  },
  { part: "command", isRight: isText, kind: 'a text, as in "/review"' },
  {
    part: "timeoutMs",
    isRight: (value) => Number.isFinite(value) && Number(value) > 0,
    kind: "milliseconds above 0",
  },
  { part: "maxAttempts", isRight: isCount, kind: "a whole number above 0" },
  { part: "maxConcurrent", isRight: isCount, kind: "a whole number above 0" },
  { part: "isControl", isRight: (value) => typeof value === "boolean", kind: "true or false" },
  {
    part: "run",
    isRight: (value) => typeof value === "object" && value !== null,
    kind: "rules, as in run: {}",
  },
  { part: "mayUse", isRight: isFunction, kind: "a function" },
];

const RUN_KINDS: Kind<RunRules>[] = [
  { part: "lane", isRight: isFunction, kind: 'a function of the arguments, as in () => "release"' },
  { part: "title", isRight: isFunction, kind: 'a function of the arguments, as in () => "a release"' },
  { part: "version", isRight: isCount, kind: "a whole number above 0" },
  {
    part: "continues",
    isRight: (value) => Array.isArray(value) && value.every(isCount),
    kind: "a list of former versions, as in [1]",
  },
  { part: "endWrites", isRight: isFunction, kind: "a function" },
  { part: "takesNotes", isRight: (value) => typeof value === "boolean", kind: "true or false" },
];

function refuseWrong(
  whole: Record<string, unknown>,
  { kinds, refuse }: { kinds: Kind<never>[]; refuse: (why: string, hint: string) => void },
): void {
  for (const { part, isRight, kind } of kinds) {
    const value = whole[part];
    if (value === undefined || isRight(value)) continue;
    refuse(
      `its ${part} is ${typeof value === "number" ? value : named(value)}`,
      `Give ${kind}, or leave it out`,
    );
  }
  const slip = misspelt(
    whole,
    kinds.map(({ part }) => part),
  );
  if (slip) refuse(`it has no setting "${slip.written}"`, `Did you mean "${slip.meant}"?`);
}

function refuseContradictions(
  { pattern, command, args }: { pattern?: unknown; command?: unknown; args?: unknown },
  refuse: (why: string, hint: string) => void,
): void {
  if (pattern !== undefined && command !== undefined) {
    refuse("it has both a pattern and a command", "Keep one of the two");
  }
  if (args !== undefined && command === undefined) {
    refuse(
      "it has args but no command",
      "Typed arguments are what follows a command; add one, or leave args out",
    );
  }
  if (args === undefined) return;
  if (!isSchema(args)) {
    refuse(
      "its args are no schema",
      "Give one that follows Standard Schema, as z.object({ … }) of zod, or leave args out",
    );
    return;
  }
  const type = wholeTypeOf(args) ?? "object";
  if (type !== "object") {
    refuse(
      `its args are a schema of type ${type}, not of an object`,
      "Give each argument its name, as in z.object({ title: z.string() }) of zod",
    );
  }
}

/**
 * Whether this asker may use the worker. Throws what its `mayUse` throws, and where that answers with neither true nor
 * false: a promise would let everybody in, and so would nothing.
 */
export function mayUse(worker: Worker, asker: Asker): boolean {
  const answer: unknown = worker.mayUse === undefined ? true : worker.mayUse(asker);
  if (typeof answer === "boolean") return answer;
  if (answer instanceof Promise) answer.catch(() => undefined); // whatever it comes to, it comes too late
  throw new RobsonError(
    "WORKER_INVALID",
    `mayUse() of worker "${worker.name}" has answered ${named(answer)}, not true or false`,
    { hint: "Make it a plain function that returns at once whether the asker may use the worker" },
  );
}

/** The same for lists: a check that fails is told of when the worker is used, and takes nothing from the others. */
export function isShownTo(worker: Worker, asker: Asker): boolean {
  try {
    return mayUse(worker, asker);
  } catch {
    return false;
  }
}

function isSchema(args: unknown): args is StandardSchema {
  return typeof (args as Partial<StandardSchema> | null)?.["~standard"]?.validate === "function";
}
