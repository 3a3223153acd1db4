/**
 * How a run's end reads where no pull request came of it: what ended it, what is kept, and the command to type next.
 * One text for each kind of end, so that nobody has to guess which of them it was. Markdown, for the thread. A run that a
 * person stops, or that crashes end, is the loop's to tell of (core/message-end.ts).
 */
import { RobsonError } from "../core/errors.ts";
import { toStorable } from "../core/text.ts";
import { GATE_KEYS, type Verdict } from "./gates/policy.ts";
import { inertLine } from "./inert-markdown.ts";
import { costShown, durationShown } from "./usage-shown.ts";

/** Plain data: a run stores it. */
export type RunEnd =
  /** The money that the run may cost is used up. */
  | { kind: "budget"; maxCostUsd: number; costUsd?: number }
  /** It was at work for as long as a run may be. */
  | { kind: "time"; maxMs: number }
  /** The change does not pass the project's checks. */
  | { kind: "verify"; message: string; rounds: number }
  /** A gate refused, or a person refused what a gate asked about. */
  | { kind: "gate"; verdicts: Verdict[]; refusedBy?: string }
  /** The agent could not do it, or said so. */
  | { kind: "agent"; message: string; hint?: string }
  /** Anything else that is in the way, in its own words. */
  | { kind: "trouble"; message: string; hint?: string };

export interface RunEndContext {
  key: string;
  /** The run's number, which `/retry` and `/logs` take. Without it, the commands are those that need none. */
  run?: number;
  /** The branch or saved work that is kept, where there is any. */
  kept?: string;
}

/** The text for the thread; its last line is the command to type next. */
export function describeRunEnd(end: RunEnd, { key, run, kept }: RunEndContext): string {
  const commands: Commands = {
    anew: `/run-task ${key}`,
    retry: run === undefined ? `/run-task ${key}` : `/retry ${run}`,
    logs: run === undefined ? "/logs" : `/logs ${run}`,
  };
  const { what, next } = WORDS[end.kind](end as never, commands);
  const keeps = kept === undefined ? [] : [`Kept: ${inertLine(kept)}`];
  return [`**${key}** ${what}`, ...keeps, next].join("\n");
}

/** The end in a few words, as it is kept with the task and its repositories. */
export function keptReason(end: RunEnd): string {
  return toStorable(wordsOf(end).slice(0, MAX_KEPT_REASON)).toWellFormed();
}

/** How many characters of it are kept. */
const MAX_KEPT_REASON = 2000;

function wordsOf(end: RunEnd): string {
  if ("message" in end) return end.message;
  if (end.kind === "time")
    return `It was at work for longer than ${durationShown(end.maxMs)} (workflow.run_timeout_ms)`;
  if (end.kind === "budget") return `Its budget of ${costShown(end.maxCostUsd)} is used up`;
  return refusal(end.verdicts, end.refusedBy);
}

/** Why a change may not leave the machine. */
function refusal(verdicts: readonly Verdict[], refusedBy: string | undefined): string {
  const refused = verdicts.filter(({ decision }) => decision === "refuse" || refusedBy !== undefined);
  const who = refusedBy === undefined ? "may not leave this machine" : `was refused by ${refusedBy}`;
  return `The change ${who}: ${refused.map(({ reason }) => reason).join("; ")}`;
}

/** What a gate asks in the thread, with the answers that it takes; of several repositories, it names the one. */
export function gateQuestion(
  verdicts: readonly Verdict[],
  { key, repository }: { key: string; repository?: string },
): string {
  const asked = verdicts.filter(({ decision }) => decision === "ask");
  const where = repository === undefined ? "" : ` in \`${repository}\``;
  return `**${key}** is done${where}, but before its pull request is opened a person has to look at this:
${verdictList(asked)}

Answer \`allow\` to open it as a draft, \`refuse\` to end the run without one. \`/logs\` shows what the agent did.`;
}

/** The end that an error stands for, where it has no kind of its own. */
export function endOfError(error: unknown): RunEnd {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof RobsonError ? error.hint : undefined;
  const isAgents = error instanceof RobsonError && error.code === "AGENT_FAILED";
  return { kind: isAgents ? "agent" : "trouble", message, ...(hint === undefined ? {} : { hint }) };
}

interface Words {
  what: string;
  next: string;
}

/** As a person types them. */
interface Commands {
  /** Begins the task again. */
  anew: string;
  /** Has this run go on. */
  retry: string;
  logs: string;
}

type WordsFor = {
  [Kind in RunEnd["kind"]]: (end: Extract<RunEnd, { kind: Kind }>, commands: Commands) => Words;
};

const WORDS: WordsFor = {
  budget: ({ maxCostUsd, costUsd }, { anew, retry, logs }) => ({
    what: `was stopped by its budget: it may cost ${costShown(maxCostUsd)}, and has cost ${costShown(costUsd)}`,
    next: `\`${retry}\` goes on with as much again, \`${anew} budget=${suggestedBudget(maxCostUsd)}\` begins again with more; \`${logs}\` shows what it was spent on`,
  }),
  time: ({ maxMs }, { retry, logs }) => ({
    what: `was stopped by its time: a run may be at work for ${durationShown(maxMs)} (\`workflow.run_timeout_ms\`)`,
    next: `\`${retry}\` goes on with as much time again; \`${logs}\` shows what it was spent on`,
  }),
  verify: ({ message, rounds }, { retry, logs }) => ({
    what: `was stopped by the project's checks${rounds === 0 ? "" : `, after the agent had ${counted(rounds, "more attempt")} at it`}. Nothing was pushed\n${message}`,
    next: `\`${logs}\` shows what was tried; \`${retry}\` has it done again, best with more in the ticket`,
  }),
  gate: ({ verdicts, refusedBy }, { retry, logs }) => ({
    what:
      refusedBy === undefined
        ? `was stopped by a gate: this may not leave the machine. Nothing was pushed\n${verdictList(verdicts.filter(({ decision }) => decision === "refuse"))}`
        : `was stopped: ${inertLine(refusedBy)} refused what a gate asked about. Nothing was pushed\n${verdictList(verdicts)}`,
    next: `\`${retry}\` has it done again, once the ticket says what to leave alone; \`${logs}\` shows what the agent did`,
  }),
  agent: ({ message, hint }, { retry, logs }) => ({
    what: `was not done. ${sentence(message, hint)}`,
    next: `\`${logs}\` shows what the agent did; \`${retry}\` has it try again`,
  }),
  trouble: ({ message, hint }, { retry, logs }) => ({
    what: `could not go on. ${sentence(message, hint)}`,
    next: `\`${retry}\` goes on where it was; \`${logs}\` shows how far it came`,
  }),
};

function sentence(message: string, hint: string | undefined): string {
  return hint === undefined ? message : `${message}\n${hint}`;
}

function verdictList(verdicts: readonly Verdict[]): string {
  return verdicts
    .map(
      ({ gate, reason, hint }) =>
        `- ${reason} (\`${GATE_KEYS[gate]}\`)${hint === undefined ? "" : `. ${hint}`}`,
    )
    .join("\n");
}

function counted(count: number, what: string): string {
  return count === 1 ? `one ${what}` : `${count} ${what}s`;
}

function suggestedBudget(maxCostUsd: number): string {
  return String(Math.max(1, Math.ceil(maxCostUsd * 2)));
}
