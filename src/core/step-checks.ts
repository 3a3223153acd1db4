/**
 * What a worker hands to its steps and what these come to, checked before anything of it is stored: a mistake is told by the step's name, and
 * no run waits for a time that never comes.
 */
import { WorkerError } from "./errors.ts";
import { named } from "./named.ts";
import { nearest } from "./nearest.ts";
import { type EventKind, isFinal } from "./process-event.ts";
import type { Effect, Question } from "./run.ts";
import { byteLength, toStorable } from "./text.ts";

/** A worker uses steps as they cannot be stored; another attempt would do the same. */
export function stepInvalid(message: string, hint: string): WorkerError {
  return new WorkerError(message, { code: "STEP_INVALID", retry: "never", hint });
}

export function checkName(name: unknown): void {
  if (typeof name === "string" && name.trim() !== "" && name === toStorable(name)) return;
  const given = typeof name === "string" ? JSON.stringify(name) : named(name);
  throw stepInvalid(
    `The name of a step, question or wait is ${given}, not a text that can be stored`,
    'The name comes first, as in step("clone", async () => …) or sleep("a pause", 1000)',
  );
}

export function checkWork(name: string, work: unknown): void {
  if (typeof work === "function") return;
  throw stepInvalid(
    `The step "${name}" has ${named(work)} for its work, not a function`,
    `Write it as step("${name}", async () => …)`,
  );
}

/** Stored with the step, it would reach the asker before the work has ended. */
export function checkStepEvent(kind: EventKind): void {
  if (!isFinal(kind)) return;
  throw stepInvalid(
    `A step cannot emit "${kind}", which ends the message`,
    "Return from the step what there is to say, and emit it outside of the step",
  );
}

/** The effect as its worker describes it, with a key and both its functions. */
export function describedEffect<T, Step>(
  name: string,
  { describe, step }: { describe: (step: Step) => Effect<T>; step: Step },
): Effect<T> {
  const refuse = (why: string) =>
    stepInvalid(
      `The effect "${name}" ${why}`,
      `Write it as effect("${name}", () => ({ key, find, make })), with text as its key`,
    );
  if (typeof describe !== "function") throw refuse(`is described by ${named(describe)}, not by a function`);
  const effect: unknown = describe(step);
  if (effect instanceof Promise) {
    effect.catch(() => undefined); // it is refused, whatever it comes to
    throw refuse("is described by an asynchronous function");
  }
  const { key, find, make } = (effect ?? {}) as { [Part in keyof Effect<T>]?: unknown };
  if (typeof key !== "string" || key.trim() === "") throw refuse(`has ${named(key)} for its key`);
  if (typeof find !== "function") throw refuse("has no find()");
  if (typeof make !== "function") throw refuse("has no make()");
  return effect as Effect<T>;
}

/** `null` and `false` mean "not there" to whoever wrote them: adopted, they would keep the effect from ever being made. */
export function checkFound(name: string, found: unknown): void {
  if (found !== null && found !== false) return;
  throw stepInvalid(
    `find() of the effect "${name}" has returned ${found}, which is neither what it found nor undefined`,
    "Return undefined where the effect is not there, and what make() returns where it is",
  );
}

/** A step's result as it is stored: JSON, within the limit. */
export function toResult(name: string, { value, maxBytes }: { value: unknown; maxBytes: number }): string {
  const text = jsonOf(name, value);
  if (byteLength(text) <= maxBytes) return text;
  throw stepInvalid(
    `The result of the step "${name}" has ${byteLength(text)} bytes, and the limit maxStepResultBytes is ${maxBytes}`,
    "Keep in a file what is large, and return where it is; or raise limits.max_step_result_bytes in robson.toml",
  );
}

/** `undefined` is stored as null: a step that only does something has a result too. */
function jsonOf(name: string, value: unknown): string {
  try {
    const text = JSON.stringify(value ?? null);
    if (text !== undefined) return toStorable(text);
  } catch {
    // A cycle, or a BigInt.
  }
  throw stepInvalid(
    `The result of the step "${name}" is nothing that JSON can hold`,
    "Return text, numbers, lists and plain objects",
  );
}

/** A question as it can be asked. */
export function checkedQuestion(
  name: string,
  question: unknown,
): Required<Pick<Question, "choices">> & Question {
  const { text, choices = [], timeoutMs } = (question ?? {}) as { [Part in keyof Question]?: unknown };
  const refuse = (why: string) =>
    stepInvalid(
      `The question "${name}" ${why}`,
      `Write it as ask("${name}", { text: "Go on?" }), with choices: ["yes", "no"] where it takes only these`,
    );
  if (typeof text !== "string" || text.trim() === "") throw refuse(`has ${named(text)} for its text`);
  const extra = unknownIn(question, ["text", "choices", "timeoutMs"]);
  if (extra) throw stepInvalid(`The question "${name}" has no setting "${extra.written}"`, extra.hint);
  if (!Array.isArray(choices)) throw refuse(`has ${named(choices)} for its choices, not a list of texts`);
  const wrong = choices.findIndex((choice) => typeof choice !== "string" || choice.trim() === "");
  if (wrong !== -1) throw refuse(`has ${named(choices[wrong])} among its choices, not a text`);
  return { text, choices, ...withTimeout(name, timeoutMs) };
}

/** A setting that there is not: passed over, a run would wait for ever that was to wait for a minute. */
function unknownIn(settings: unknown, known: string[]): { written: string; hint: string } | undefined {
  if (typeof settings !== "object" || settings === null) return undefined;
  const written = Object.keys(settings).find((name) => !known.includes(name));
  if (written === undefined) return undefined;
  const meant = nearest(written, known);
  return {
    written,
    hint: meant === undefined ? `The settings are ${known.join(", ")}` : `Did you mean "${meant}"?`,
  };
}

/** An event as it can be waited for. */
export function checkedEvent(name: string, event: unknown): { key: string; timeoutMs?: number } {
  const { key, timeoutMs } = (event ?? {}) as { key?: unknown; timeoutMs?: unknown };
  const extra = unknownIn(event, ["key", "timeoutMs"]);
  if (extra) throw stepInvalid(`waitFor("${name}") has no setting "${extra.written}"`, extra.hint);
  if (typeof key === "string" && key !== "") return { key, ...withTimeout(name, timeoutMs) };
  throw stepInvalid(
    `waitFor("${name}") has ${named(key)} for its key`,
    `Write it as waitFor("${name}", { key: "build-7" })`,
  );
}

/** The longest wait that has an end: a thousand years. */
const MAX_WAIT_MS = 1000 * 365 * 24 * 60 * 60_000;

/** A wait in whole milliseconds, as a database takes it: at least as long as was asked for, as far as there is an end. */
export function checkedWait(name: string, ms: unknown): number {
  if (typeof ms === "number" && Number.isFinite(ms)) return Math.min(Math.max(0, Math.ceil(ms)), MAX_WAIT_MS);
  throw stepInvalid(
    `The wait of "${name}" is ${typeof ms === "number" ? ms : named(ms)}, not a number of milliseconds`,
    "Give it in milliseconds; leave timeoutMs out to wait without an end",
  );
}

function withTimeout(name: string, timeoutMs: unknown): { timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs: checkedWait(name, timeoutMs) };
}
