/** What must hold of the runs when everything has ended, and of the plain words that were said to them. */
import type { MemoryTables } from "./memory-tables.ts";
import { CUT_OUTSIDE, LOST_OUTSIDE, type OutsideWorld, REFUSED_OUTSIDE } from "./outside-world.ts";
import { checkRuns, eventsOf, parseResult } from "./run-checks.ts";
import type { MessagePlan, Scenario } from "./scenario.ts";
import { answerText, FAILED } from "./sim-process.ts";
import { effectKey, NOBODY, runAnswerText } from "./sim-run.ts";
import type { Witness } from "./witness.ts";

export interface EndOfRuns {
  scenario: Scenario;
  witness: Witness;
  outside: Pick<OutsideWorld, "made" | "madeStale">;
}

export function checkRunsEnd(tables: MemoryTables, { witness }: EndOfRuns): void {
  checkRuns(tables, (text) => witness.violated(text));
  // Who was told that his word is the answer finds it there.
  for (const { run, name, value } of witness.runs.answers) {
    const decision = tables.runs.get(run)?.decisions.find((other) => other.name === name);
    if (decision?.answer !== JSON.stringify(value))
      witness.violated(`run ${run} has taken "${value}" for ${name}, whose answer is ${decision?.answer}`);
  }
}

export interface EndedMessage extends EndOfRuns {
  plan: MessagePlan;
  id: number;
  status: string | undefined;
  lastError: string | null;
}

/** How a message that starts a run has ended, and its run with it. */
export function checkRunMessage(tables: MemoryTables, ended: EndedMessage): void {
  const { plan, id, status, witness } = ended;
  const name = `${plan.key} (run ${id})`;
  const run = tables.runs.get(id);
  const texts = eventsOf(tables, id);
  checkEffects(plan, ended);
  checkSayings(tables, { plan, id, witness });
  const words = wordsOf(plan.key, texts);
  if (words.refused > 0 && plan.run?.lane === null) witness.violated(`${name} was refused, and has no lane`);
  if (words.stopped > 0 && !witness.mayBeStopped.has(id))
    witness.violated(`${name} was stopped, and nobody wanted that`);
  checkRounds(tables, { ...ended, name, words });
  if (status === "dead") checkDead(name, ended);
  // Without a run of its own, what it says last is all that there is.
  const isAnswered = words.refused + words.stopped + words.failed + words.dead === 0 && status === "done";
  if (run ? run.status === "done" : isAnswered) checkAnswer(tables, { ...ended, name, texts });
}

interface Words {
  done: number;
  failed: number;
  stopped: number;
  dead: number;
  /** Its lane was another's. */
  refused: number;
}

/** With which last words its rounds have ended. */
function wordsOf(key: string, texts: string[]): Words {
  const count = (is: (text: string) => boolean) => texts.filter(is).length;
  return {
    done: count((text) => text.startsWith(answerText(key))),
    failed: count((text) => FAILED_IN.test(text)),
    stopped: count((text) => text.startsWith("Stopped by ")),
    dead: count((text) => text.startsWith("I could not do this")),
    refused: count((text) => LANE_TAKEN.test(text)),
  };
}

/** Each round has ended once, with one word, and the run stands as the last of them has left it. */
function checkRounds(
  tables: MemoryTables,
  { plan, id, name, status, words, witness }: EndedMessage & { name: string; words: Words },
): void {
  const run = tables.runs.get(id);
  const ends = tables.ends.get(id) ?? 0;
  const told = Object.values(words).reduce((sum, count) => sum + count, 0);
  const all = JSON.stringify(words);
  const texts = eventsOf(tables, id);
  // Of two that the loop itself says within a millisecond, one is stored.
  if (told > ends || told === 0) witness.violated(`${name} has ended ${ends} times, with ${all}: [${texts}]`);
  const failures = texts.filter((text) => FAILED_IN.test(text));
  if (words.done > 1 || new Set(failures).size < failures.length)
    witness.violated(`${name} has told the end of a round twice: [${texts}]`);
  if (words.failed > (plan.run?.failedRounds ?? 0))
    witness.violated(`${name} has failed in too many rounds: [${texts}]`);
  if (!run) return;
  if (run.round > ends) witness.violated(`${name} is in round ${run.round}, and has ended ${ends} times`);
  const isTold = run.status !== "open" && run.status !== "waiting" && words[run.status] > 0;
  const isGivenUp = run.status === "dead" && status === "dead";
  // What is refused is done with that, and the run stays as it was.
  const isOfMessage = isGivenUp || (status === "done" && (run.status !== "dead" || words.refused > 0));
  // Once it is done it stays so, however often someone has asked for another try.
  const isLast = words.done > 0 === (run.status === "done");
  if (!(isTold && isOfMessage && isLast))
    witness.violated(`${name} is ${run.status}, and its message ${status}, with ${all}: [${texts}]`);
  if (ends === 1 && told !== 1) witness.violated(`${name} has ended once, with ${all}: [${texts}]`);
}

/** Heard by its worker, or taken by a run: one of them; or ended by a person, or because it took too long. */
export function checkPlainMessage(
  tables: MemoryTables,
  { plan, id, status, lastError, witness }: EndedMessage,
): void {
  const texts = eventsOf(tables, id);
  const [text = "", ...others] = texts;
  const isKnown = text === answerText(plan.key) || TAKEN.test(text);
  const isStopped = text.startsWith("Stopped by ") && witness.mayBeStopped.has(id);
  if (status === "done" && (isKnown || isStopped) && others.length === 0) return;
  if (status === "dead" && lastError?.includes("took longer than")) return;
  witness.violated(`${plan.key} (message ${id}) is ${status} with events [${texts}]`);
}

/** Everything was done once, where that can be looked up, and what is stored is what the worker was told. */
function checkAnswer(
  tables: MemoryTables,
  { plan, id, name, texts, witness }: EndedMessage & { name: string; texts: string[] },
): void {
  const run = tables.runs.get(id);
  const results = (plan.run?.operations ?? []).map(({ kind }, place) => {
    const is = (other: { name: string }) => other.name === `op${place}`;
    const stored = run?.steps.find(is)?.result ?? run?.decisions.find(is)?.answer;
    if (stored == null) return kind === "sleep" ? "slept" : NOBODY;
    return String(JSON.parse(stored));
  });
  const answer = runAnswerText(plan.key, results);
  const [said = "", tooLate = ""] = texts
    .filter((text) => text.startsWith(answerText(plan.key)))
    .join()
    .split(TOO_LATE);
  if (said !== answer) witness.violated(`${name} has events [${texts}], and should have "${answer}"`);
  // As they are stored: in the order of their messages. One whose acceptance came late is passed on behind the next.
  const inOrder = (run?.notes ?? []).toSorted((a, b) => a.conversationId - b.conversationId);
  const unread = inOrder.filter(({ takenAt }) => takenAt === null);
  const shown = unread.map(({ content }) => `- ${content}`).join("\n");
  if (tooLate !== shown) witness.violated(`${name} has not read "${shown}", and told is "${tooLate}"`);
}

/** All that a step has said is there with its result. */
function checkSayings(
  tables: MemoryTables,
  { plan, id, witness }: Pick<EndedMessage, "plan" | "id" | "witness">,
): void {
  const texts = eventsOf(tables, id);
  for (const [place, operation] of (plan.run?.operations ?? []).entries()) {
    if (operation.kind !== "step") continue;
    const name = `op${place}`;
    const step = tables.runs.get(id)?.steps.find((other) => other.name === name);
    const { execution } = parseResult(step?.result ?? null);
    if (execution === undefined) continue;
    for (let emit = 1; emit <= operation.emits; emit += 1) {
      const text = `${plan.key} ${name} says ${emit} in ${execution}`;
      if (!texts.includes(text)) witness.violated(`"${text}" is not stored, and the step's result is`);
    }
  }
}

function checkEffects(plan: MessagePlan, { outside, witness }: EndedMessage): void {
  for (const [place, { kind }] of (plan.run?.operations ?? []).entries()) {
    const key = effectKey({ plan, name: `op${place}` });
    const times = outside.made.get(key) ?? 0;
    if (kind === "effect" && times > 1 && !outside.madeStale.has(key))
      witness.violated(`the effect "${key}" was made ${times} times, and could be looked up`);
  }
}

function checkDead(name: string, { plan, lastError, scenario, witness }: EndedMessage): void {
  const failures = witness.runs.failuresOf(plan.key);
  const isFailure = [FAILED, CUT_OUTSIDE, LOST_OUTSIDE, REFUSED_OUTSIDE].includes(lastError ?? "");
  if (isFailure && failures >= scenario.limits.maxMessageAttempts) return;
  if (!lastError?.includes("took longer than")) witness.violated(`${name} is dead: ${lastError}`);
}

const FAILED_IN = /^\S+ has failed in round \d+$/;
const LANE_TAKEN = /^Run \d+ is at this already/;
const TOO_LATE = "\n\nSaid too late for this run to read; send it again where it still counts:\n";
const TAKEN = /^(?:Run \d+ (?:has your answer|asks: )|Passed on to run \d+)/;
