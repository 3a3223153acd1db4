/**
 * Runs the program of an agent that takes its prompt on stdin and reports one JSON object a line: what Claude Code,
 * Codex and the scripted agent have in common. How it ended is told apart here, what its events mean in the adapters.
 */
import { hasCode, messageOf, RobsonError, WorkerError } from "../core/errors.ts";
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
  /** What is said to it while it works. Default: nothing, its stdin ends with what it reads there. */
  dialogue?: AgentDialogue | undefined;
  /** What its operator can do when it cannot be started. */
  installHint: string;
  /** Each object that it reports; lines that are none are passed over. What this throws ends the program, and is thrown on. */
  onObject(event: Record<string, unknown>): void;
}

/** Answers to its events on its stdin, which stays open for them. */
export interface AgentDialogue {
  /** What an event waits for, as it is written; undefined for one that waits for nothing. What it rejects with ends the program. */
  answer(event: Record<string, unknown>): Promise<string> | undefined;
  /** Whether nothing more is said to it behind this event. */
  isLast(event: Record<string, unknown>): boolean;
}

/** How many characters of an agent's own words an error carries. */
const MAX_SHOWN = 500;

/** Runs it to an end of its own; throws `AGENT_FAILED` at any other end, the signal's reason when aborted. */
export async function runAgentProgram(request: AgentRequest, program: AgentProgram): Promise<ProgramEnd> {
  const talk = new Talk(program.dialogue);
  const launched = await start(request, program, talk);
  if (program.dialogue) launched.stdin?.write(program.input ?? request.prompt);
  else launched.stdin?.end(program.input ?? request.prompt);
  talk.begin(launched);
  const end = await launched.ended;
  request.signal.throwIfAborted();
  talk.throwIfBroken();
  if (end.endedBy === "itself") return end;
  throw agentFailed(program.agent, end.why ?? "it was ended", { hint: HINTS[end.endedBy] });
}

/** What is said to a program while it works, one answer after the other. */
class Talk {
  readonly #dialogue: AgentDialogue | undefined;
  readonly #started = Promise.withResolvers<LaunchedProgram>();
  #last: Promise<void> = Promise.resolve();
  #broken: { error: unknown } | undefined;

  constructor(dialogue: AgentDialogue | undefined) {
    this.#dialogue = dialogue;
  }

  begin(program: LaunchedProgram): void {
    this.#started.resolve(program);
  }

  hear(event: Record<string, unknown>): void {
    const dialogue = this.#dialogue;
    if (!dialogue) return;
    this.#last = this.#last.then(() => this.#respond(event, dialogue));
  }

  async #respond(event: Record<string, unknown>, dialogue: AgentDialogue): Promise<void> {
    if (this.#broken) return;
    const program = await this.#started.promise;
    try {
      const answer = dialogue.answer(event);
      if (answer) program.stdin?.write(await program.awaiting(answer));
      if (dialogue.isLast(event)) program.stdin?.end();
    } catch (error) {
      this.#broken = { error };
      program.end();
    }
  }

  throwIfBroken(): void {
    if (this.#broken) throw this.#broken.error;
  }
}

/** How often a person may be asked in one turn; from then on the answer is no. */
const MAX_QUESTIONS = 100;

type Permit = NonNullable<AgentRequest["permit"]>;

/** The same, which says no by itself once it was asked too often. */
export function atMostAsked(permit: Permit, maxQuestions: number = MAX_QUESTIONS): Permit {
  let questions = 0;
  return async (question) => {
    questions += 1;
    return questions > maxQuestions ? "deny" : await permit(question);
  };
}

const HINTS = {
  abort: "Run the task again",
  timeout: "Nothing was pushed. Raise that limit in robson.toml, or make the task smaller, then run it again",
  stall: "Nothing was pushed. Run the task again; the transcript shows what it was at",
  output:
    "Nothing was pushed. The transcript shows what it printed; raise that limit in robson.toml if it must be so much",
};

async function start(request: AgentRequest, program: AgentProgram, talk: Talk): Promise<LaunchedProgram> {
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
        if (!event) return;
        program.onObject(event);
        talk.hear(event);
      },
    });
  } catch (cause) {
    request.signal.throwIfAborted();
    throw notStarted(cause, { agent, command, installHint });
  }
}

/** Why an agent's program could not be started: there is none, or its sandbox says so in its own words. */
export function notStarted(
  cause: unknown,
  { agent, command, installHint }: Pick<AgentProgram, "agent" | "command" | "installHint">,
): RobsonError {
  const isMissing = hasCode(cause, "PROGRAM_MISSING");
  if (cause instanceof RobsonError && !isMissing) return cause;
  const why = isMissing ? "there is no such program" : messageOf(cause);
  const reach = isMissing
    ? ". In the sandbox its folder must be below /usr, or in sandbox.readable of robson.toml"
    : "";
  return agentFailed(agent, `"${command}" cannot be started: ${why}`, {
    hint: `${installHint}${reach}`,
    cause,
  });
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
