/**
 * What the scripted agent's process and its parent share: the script, and the events, one JSON object a line on
 * stdout. A line that is no event is passed over, as with any agent that prints more than it should.
 */
import type { AgentEvent, AgentOutcome, AgentUsage } from "../../coding-agent.ts";

/** One step of a script. Files are named from the checkout on. A resumed session goes on after its last finished step. */
export type ScriptStep =
  | { file: string; content: string }
  | { file: string; find: string; replace: string }
  | { say: string }
  /** Goes on only where the turn's prompt contains this text. */
  | { expect: string }
  /** Starts a program and waits for its end. */
  | { run: string[] }
  /** Starts a program and leaves it running. */
  | { leave: string[] }
  /** Adds to what the turn costs, in US dollars, and stops it where that is more than it may. */
  | { spend: number }
  /** Says that the model is overloaded, and goes on. */
  | { wait: string }
  /** Says nothing any more, and obeys no signal that it can disobey. */
  | { hang: true }
  /** Prints so many bytes. */
  | { flood: number }
  /** The provider refuses its key. */
  | { unauthorized: string }
  /** Ends this turn with that outcome; the session can go on from here. */
  | { end: AgentOutcome; summary?: string }
  /** Ends the process at once, without a result. */
  | { exit: number };

export type AgentLine =
  | AgentEvent
  | { type: "unauthorized"; text: string }
  | { type: "usage"; usage: AgentUsage }
  | { type: "result"; outcome: AgentOutcome; summary: string; usage: AgentUsage };

/** How the process is told what its turn is; the prompt comes on stdin. */
export interface TurnArguments {
  scriptFile: string;
  sessionId?: string | undefined;
  maxCostUsd?: number | undefined;
}

/** The event of an object that was reported, or undefined when it is none. */
export function parseLine(value: Record<string, unknown>): AgentLine | undefined {
  const parse = PARSERS[String(value.type)];
  return parse?.(value);
}

const PARSERS: Record<string, (value: Record<string, unknown>) => AgentLine | undefined> = {
  session: ({ id }) => (isText(id) ? { type: "session", id } : undefined),
  message: ({ text }) => (isText(text) ? { type: "message", text } : undefined),
  tool: ({ name, detail }) => (isText(name) && isText(detail) ? { type: "tool", name, detail } : undefined),
  edited: ({ file }) => (isText(file) ? { type: "edited", file } : undefined),
  waiting: ({ reason }) => (isText(reason) ? { type: "waiting", reason } : undefined),
  unauthorized: ({ text }) => (isText(text) ? { type: "unauthorized", text } : undefined),
  usage: ({ usage }) => ({ type: "usage", usage: parseUsage(usage) }),
  result: ({ outcome, summary, usage }) =>
    isOutcome(outcome) && isText(summary)
      ? { type: "result", outcome, summary, usage: parseUsage(usage) }
      : undefined,
};

function parseUsage(usage: unknown): AgentUsage {
  if (!isRecord(usage)) return {};
  const { costUsd, turns } = usage;
  return {
    ...(typeof costUsd === "number" ? { costUsd } : {}),
    ...(typeof turns === "number" ? { turns } : {}),
  };
}

/** The steps of a script, or an error that names the first bad one. */
export function parseScript(text: string): ScriptStep[] {
  const value: unknown = JSON.parse(text);
  if (!Array.isArray(value)) throw new Error("The script is not a JSON list of steps");
  return value.map((step: unknown, index) => {
    if (isStep(step)) return step;
    throw new Error(`Step ${index + 1} of the script is none of ${STEP_KINDS}`);
  });
}

const STEP_KINDS =
  "{file, content}, {file, find, replace}, {say}, {expect}, {run}, {leave}, {spend}, {wait}, {hang}, {flood}, {unauthorized}, {end, summary?}, {exit}";

function isStep(step: unknown): step is ScriptStep {
  if (!isRecord(step)) return false;
  if (isText(step.file)) return isText(step.content) || (isText(step.find) && isText(step.replace));
  const [name, value] = Object.entries(step)[0] ?? [];
  if (name === "run" || name === "leave") return isCommand(value);
  if (name === "say" || name === "expect" || name === "wait" || name === "unauthorized") return isText(value);
  if (name === "spend" || name === "flood" || name === "exit") return typeof value === "number";
  if (name === "end") return isOutcome(value) && (step.summary === undefined || isText(step.summary));
  return name === "hang" && value === true;
}

function isCommand(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isText);
}

const OUTCOMES: AgentOutcome[] = ["done", "gave-up", "budget", "refused", "session-lost", "overloaded"];

function isOutcome(value: unknown): value is AgentOutcome {
  return OUTCOMES.some((outcome) => outcome === value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
