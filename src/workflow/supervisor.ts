/**
 * Starts programs and answers for their end: own process group, an environment made from nothing, limits on time,
 * silence and output; when it says that a program has ended, nothing of it runs any more. Dies Robson itself, a
 * guardian ends what he started (guardian.ts), and the next start what even that one missed (leftovers.ts).
 */
import { randomUUID } from "node:crypto";
import { PROGRAM_VARIABLE } from "./leftovers.ts";
import type { WorkflowLimits } from "./limits.ts";
import { startProgram } from "./running-program.ts";
import type { Program, Sandbox, SandboxedProgram, SandboxRules } from "./sandbox.ts";

/** A program to be started in the run's checkout. */
export interface LaunchRequest {
  command: string;
  args: string[];
  /** Added to the environment of the run. */
  environment?: Record<string, string>;
  /** `pipe` for programs that are talked to (Agent Client Protocol). Default: closed. */
  stdin?: "closed" | "pipe";
  /** Each line of its stdout. What this throws ends the program, and rejects `ended`. */
  onLine?(line: string): void;
}

export interface LaunchedProgram {
  pid: number;
  /** Only with `stdin: "pipe"`. That the program does not read on is no error of it. */
  stdin?: NodeJS.WritableStream;
  /** It waits for an answer of ours until this settles: its silence meanwhile is not its own. Resolves and rejects as that does. */
  awaiting<T>(answer: Promise<T>): Promise<T>;
  /** Ends it kindly first (SIGINT, SIGTERM), then not. Safe to call twice. */
  end(): void;
  /** Settles when nothing of the program runs any more; rejects when its sandbox had to end it (`SANDBOX_LIMIT`). */
  ended: Promise<ProgramEnd>;
}

export interface ProgramEnd {
  /** Null when a signal ended it. */
  exitCode: number | null;
  /** Why it ended: of its own accord, or because we ended it. */
  endedBy: "itself" | "abort" | "timeout" | "stall" | "output";
  /** The limit that it passed, as a clause with its name and value. */
  why?: string;
  /** The end of what it printed. */
  stdout: string;
  stderr: string;
}

/** Rejects only when the program cannot be started, or with the signal's reason when that is aborted already. */
export type Launch = (request: LaunchRequest) => Promise<LaunchedProgram>;

/** A limit with the name under which its reader finds it. */
export interface NamedLimit {
  name: string;
  ms: number;
}

export interface LaunchOptions {
  directory: string;
  /** All that the programs see of the environment. */
  environment: Record<string, string>;
  timeout: NamedLimit;
  /** How long a program may print nothing. Default: as long as it likes. */
  stall?: NamedLimit;
  /** The longest line that `onLine` is called with, in characters; a longer one is left out. Default: `maxKeptOutput`. */
  maxLine?: number;
  limits: Pick<WorkflowLimits, "killGraceMs" | "maxProcessOutputBytes" | "maxKeptOutput">;
  /** Default: none, the program runs as Robson does. */
  sandbox?: { sandbox: Sandbox; rules: SandboxRules } | undefined;
  /**
   * Whether what leaves the program's group is searched for at its end, and a guardian watches over it. Default: yes;
   * no for short programs that are known to stay in it (git).
   */
  isTracked?: boolean;
  /** Ends every program that was started. */
  signal: AbortSignal;
}

/** The means to start programs in one checkout, under the same limits. */
export function createLaunch(options: LaunchOptions): Launch {
  return async (request) => {
    options.signal.throwIfAborted();
    const mark = (options.isTracked ?? true) ? { [PROGRAM_VARIABLE]: randomUUID() } : {};
    const program: Program = {
      command: request.command,
      args: request.args,
      directory: options.directory,
      environment: { ...options.environment, ...request.environment, ...mark },
    };
    const { sandbox } = options;
    const wrapped = sandbox ? await sandbox.sandbox.wrap(program, sandbox.rules) : withoutSandbox(program);
    try {
      options.signal.throwIfAborted();
      const environment = { ...wrapped.environment, ...mark };
      return await startProgram({ ...wrapped, environment }, { ...options, request });
    } catch (error) {
      await wrapped.close();
      throw error;
    }
  };
}

/** The limits of a coding agent's program. */
export function agentLaunch(
  options: Omit<LaunchOptions, "timeout" | "stall" | "maxLine" | "limits"> & { limits: WorkflowLimits },
): Launch {
  const { limits } = options;
  return createLaunch({
    ...options,
    timeout: { name: "agentTimeoutMs", ms: limits.agentTimeoutMs },
    stall: { name: "agentStallMs", ms: limits.agentStallMs },
    maxLine: limits.maxAgentLine,
  });
}

function withoutSandbox(program: Program): SandboxedProgram {
  return { ...program, overLimit: new AbortController().signal, close: () => Promise.resolve() };
}
