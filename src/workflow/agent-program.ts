/**
 * Runs the program of an agent that takes its prompt on stdin and reports one JSON object a line: what Claude Code,
 * Codex and the scripted agent have in common. How it ended is told apart here, what its events mean in the adapters.
 */
import { messageOf, RobsonError, WorkerError } from "../core/errors.ts";
import { preview, toStorable } from "../core/text.ts";
import type { AgentRequest } from "./coding-agent.ts";
import type { LaunchedProgram, ProgramEnd } from "./supervisor.ts";

export interface AgentProgram {
  /** The agent's name, for errors. */
  agent: string;
  command: string;
  args: string[];
  /** Added to the environment of the request. */
  environment?: Record<string, string>;
  /** What it reads on stdin. Default: the prompt. */
  input?: string;
  /** What its operator can do when it cannot be started. */
  installHint: string;
  /** Each object that it reports; lines that are none are passed over. What this throws ends the program, and is thrown on. */
  onObject(event: Record<string, unknown>): void;
}

/** How many characters of an agent's own words an error carries. */
const MAX_SHOWN = 500;

/** Runs it to an end of its own; throws `AGENT_FAILED` at any other end, the signal's reason when aborted. */
export async function runAgentProgram(request: AgentRequest, program: AgentProgram): Promise<ProgramEnd> {
  const launched = await start(request, program);
  launched.stdin?.end(program.input ?? request.prompt);
  const end = await launched.ended;
  request.signal.throwIfAborted();
  if (end.endedBy === "itself") return end;
  throw agentFailed(program.agent, end.why ?? "it was ended", { hint: HINTS[end.endedBy] });
}

const HINTS = {
  abort: "Run the task again",
  timeout: "Nothing was pushed. Raise that limit in robson.toml, or make the task smaller, then run it again",
  stall: "Nothing was pushed. Run the task again; the transcript shows what it was at",
  output:
    "Nothing was pushed. The transcript shows what it printed; raise that limit in robson.toml if it must be so much",
};

async function start(request: AgentRequest, program: AgentProgram): Promise<LaunchedProgram> {
  const { agent, command, args, environment, installHint } = program;
  try {
    return await request.launch({
      command,
      args,
      ...(environment ? { environment } : {}),
      stdin: "pipe",
      onLine: (line) => {
        request.onTranscript(line);
        const event = parseObject(line);
        if (event) program.onObject(event);
      },
    });
  } catch (cause) {
    request.signal.throwIfAborted();
    // A sandbox that refuses says so in its own words.
    if (cause instanceof RobsonError) throw cause;
    throw agentFailed(agent, `"${command}" cannot be started: ${messageOf(cause)}`, {
      hint: installHint,
      cause,
    });
  }
}

/** Thrown at an end without a result: what the program said last is all there is. */
export function endedWithoutResult(agent: string, end: ProgramEnd): WorkerError {
  const said = shown(end.stderr.trim() === "" ? end.stdout : end.stderr);
  return agentFailed(
    agent,
    `it ended without a result (exit code ${end.exitCode ?? "none"})${said && `: ${said}`}`,
  );
}

/** The agent could not run to its end. Another attempt would be paid for again, so a person decides on it. */
export function agentFailed(
  agent: string,
  why: string,
  options: { hint?: string; cause?: unknown } = {},
): WorkerError {
  return new WorkerError(`The agent "${agent}" failed: ${why}`, {
    code: "AGENT_FAILED",
    retry: "never",
    hint: options.hint ?? "Nothing was pushed. Look at the transcript, then run the task again",
    cause: options.cause,
  });
}

/** The provider of the model refuses the agent: nothing goes on until its operator has acted. */
export function agentUnauthorized(agent: string, said: string, hint: string): WorkerError {
  return new WorkerError(`The agent "${agent}" was refused by the provider of its model: ${shown(said)}`, {
    code: "AGENT_UNAUTHORIZED",
    retry: "never",
    hint,
  });
}

/** For `check`: an agent that no variable reaches has no key. Whether the key is a good one, its provider says. */
export function refuseWithoutKey(
  agent: string,
  { environment = {}, hint }: { environment?: Record<string, string> | undefined; hint: string },
): void {
  if (Object.keys(environment).length > 0) return;
  throw new WorkerError(`Cannot run the agent "${agent}": no variable with a key for it is set`, {
    code: "AGENT_UNAUTHORIZED",
    retry: "never",
    hint,
  });
}

/** One line of at most so many characters, for `detail`s and errors. */
export function shown(text: string, maxLength: number = MAX_SHOWN): string {
  return preview(toStorable(text).trim().replace(/\s+/g, " "), maxLength);
}

/** The object on a line, or undefined: agents print other things too. */
export function parseObject(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    // Not JSON, or cut off.
    return undefined;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
