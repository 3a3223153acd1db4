/** What a person may say to a run, and how it is understood: the same in its thread, by a command and over HTTP. Pure. */
import { RobsonError } from "./errors.ts";
import { named } from "./named.ts";
import type { DecisionRecord, RunDetails, RunRecord } from "./run-store.ts";
import type { Asker } from "./worker.ts";

/** The question that is answered where none is named: the one that was asked first. */
export function openQuestion(run: RunDetails, name?: string): DecisionRecord | undefined {
  if (run.endedAt !== null) return undefined;
  return run.decisions.find(
    (decision) =>
      decision.kind === "question" &&
      decision.answeredAt === null &&
      // Its time was over when the run went on: it is answered by nobody any more.
      (decision.dueAt === null || decision.dueAt > run.updatedAt) &&
      (name === undefined || decision.name === name),
  );
}

/** The answer as the question takes it; undefined where it takes others only. Case does not matter. */
export function chosen({ choices }: Pick<DecisionRecord, "choices">, text: string): string | undefined {
  const answer = text.trim();
  if (choices.length === 0) return answer === "" ? undefined : answer;
  return choices.find((choice) => choice.toLowerCase() === answer.toLowerCase());
}

/** The word to someone whose answer is none of the choices. */
export function choicesText({ conversationId }: RunRecord, { text, choices }: DecisionRecord): string {
  const answers = choices.length === 0 ? "any text" : choices.map((choice) => `\`${choice}\``).join(" or ");
  return `Run ${conversationId} asks: ${text.trim()}\nIt takes ${answers} as the answer, and goes on waiting for it.`;
}

/** An event as runs are told of it, its value as JSON; or `RUN_INVALID`. */
export function checkedSignal(key: unknown, event: unknown): { key: string; answer: string; at: number } {
  const refuse = (why: string) =>
    new RobsonError("RUN_INVALID", `Cannot tell of an event: ${why}`, {
      hint: 'Write it as signal("build-7", { value: "passed", at: Date.now() }), with null for its value where it has none',
    });
  if (typeof key !== "string" || key === "") throw refuse(`its key is ${named(key)}`);
  if (typeof event !== "object" || event === null) throw refuse(`it is ${named(event)}`);
  const { value, at } = event as { value?: unknown; at?: unknown };
  if (typeof at !== "number" || !Number.isSafeInteger(at))
    throw refuse(`its instant "at" is ${typeof at === "number" ? at : named(at)}, not whole milliseconds`);
  const answer = jsonOf(value);
  if (answer === undefined) throw refuse(`its value is ${named(value)}, which JSON cannot hold`);
  return { key, answer, at };
}

function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined; // A cycle, or a BigInt.
  }
}

/** Whether the run is the asker's own. */
export function isRequester({ gateway, userId }: RunRecord, asker: Asker): boolean {
  return gateway === (asker.gateway ?? null) && userId === asker.userId;
}

/** `RUN_INVALID`: there is nothing to be answered. */
export function noQuestion(run: RunRecord, name?: string): RobsonError {
  const id = run.conversationId;
  const what = name === undefined ? "no question" : `no question "${name}"`;
  const why = run.endedAt === null ? `it has ${what} open` : `it has ended (${run.status})`;
  return new RobsonError("RUN_INVALID", `Cannot answer run ${id}: ${why}`, {
    hint: `See what it is at with \`robson runs show ${id}\`, or /logs ${id} in a chat`,
  });
}

/** `RUN_INVALID`: the question takes other answers. */
export function wrongAnswer(run: RunRecord, question: DecisionRecord): RobsonError {
  const { name, choices } = question;
  return new RobsonError(
    "RUN_INVALID",
    `Cannot answer "${name}" of run ${run.conversationId}: that is none of its choices`,
    { hint: choices.length === 0 ? "Write a text" : `Write one of: ${choices.join(", ")}` },
  );
}
