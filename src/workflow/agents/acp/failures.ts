/**
 * What an agent's failure means for the run. The protocol has one code for a missing login and none for what the
 * model's provider answers, so the words count; they are the same across agents because the providers write them.
 */
import type { RobsonError } from "../../../core/errors.ts";
import { agentFailed, agentUnauthorized, shown } from "../../agent-program.ts";
import type { WorkflowLimits } from "../../limits.ts";
import type { ProgramEnd } from "../../supervisor.ts";

/** What the operator says about an agent, as its program is to be started and asked. */
export interface AcpSettings {
  /** Its name in the config. */
  name: string;
  command: string;
  args: string[];
  /** The way in which it is to log in, as it names it; most need none beside their key. */
  authMethod?: string | undefined;
  /** The session's mode, as the agent names it. */
  mode?: string | undefined;
  /** The model, as the agent names it. */
  model?: string | undefined;
  /** Variables that reach the agent: its key, the address of its provider. */
  environment?: Record<string, string> | undefined;
  limits: Pick<WorkflowLimits, "agentAnswerMs" | "killGraceMs">;
}

/** An answer to a request of ours that says that it failed. */
export interface AnsweredError {
  code: number;
  message: string;
  data?: unknown;
}

export const AUTH_REQUIRED = -32000;

const MAX_SHOWN = 500;
const UNAUTHORIZED =
  /\b401\b|unauthorized|authentication[ _]?(?:error|failed|required)|invalid (?:x-)?api[- _]key|incorrect api key|api[_ ]key[_ ]invalid|api key not valid|not logged in|please run \/login/i;
const OVERLOADED =
  /\b(?:429|503|529)\b|overloaded|rate[ _-]?limit|at capacity|too many requests|resource[_ ]exhausted|model is unavailable/i;

export type FailureKind = "unauthorized" | "overloaded" | "other";

/** The kind of trouble that an agent's words tell of. */
export function kindOfFailure({ code, message, data }: AnsweredError): FailureKind {
  if (code === AUTH_REQUIRED) return "unauthorized";
  const words = `${message} ${typeof data === "string" ? data : (JSON.stringify(data) ?? "")}`;
  if (UNAUTHORIZED.test(words)) return "unauthorized";
  return OVERLOADED.test(words) ? "overloaded" : "other";
}

/** Whether a value that was thrown is an answer of the agent; the SDK's class is not loaded here. */
export function isAnsweredError(error: unknown): error is Error & AnsweredError {
  return error instanceof Error && "code" in error && typeof error.code === "number";
}

/** The message of an answered error with the detail that agents put into its data. */
export function wordsOf({ message, data }: AnsweredError): string {
  const detail =
    typeof data === "object" && data !== null
      ? ["details", "message", "error"]
          .map((key) => Reflect.get(data, key))
          .find((each) => typeof each === "string")
      : data;
  const isSaid = typeof detail !== "string" || detail === "" || message.includes(detail);
  return shown(isSaid ? message : `${message}: ${detail}`);
}

export function unauthorized(name: string, why: string): RobsonError {
  return agentUnauthorized(name, why, KEY_HINT);
}

const KEY_HINT =
  "Put a valid key into Robson's environment and its name into the agent's `environment` in robson.toml, or set its auth_method; then run the task again";

export function nonsense(name: string, cause?: unknown): RobsonError {
  return agentFailed(name, "its answers make no sense; the transcript has them", { cause });
}

/** Why a program that ended before its answer did so. */
export function deathOf(name: string, end: ProgramEnd): RobsonError {
  const why = end.why ?? END_REASONS[end.endedBy];
  const exit =
    end.endedBy === "itself" && end.why === undefined ? ` (exit code ${end.exitCode ?? "none"})` : "";
  const said = lastWords(end);
  return agentFailed(name, `${why}${exit}${said === "" ? "" : `; it printed last: ${said}`}`);
}

/** Whether a program that fell silent was waiting for its model: some agents tell that on their stderr alone. */
export function wasOverloaded(end: ProgramEnd): boolean {
  return end.endedBy === "stall" && OVERLOADED.test(end.stderr.slice(-MAX_SHOWN));
}

/** The end of what it printed, without its messages. */
function lastWords({ stdout, stderr }: ProgramEnd): string {
  const words = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
  return shown((stderr.trim() || words.join("\n").trim()).slice(-MAX_SHOWN));
}

const END_REASONS: Record<ProgramEnd["endedBy"], string> = {
  itself: "its program ended in the middle of its work",
  abort: "it was ended from outside",
  timeout: "it took longer than it may",
  stall: "it was silent for longer than it may",
  output: "it printed more than it may",
};
