/**
 * A program run to its end by the supervisor: for git and for the project's checks. It has its own process group, a
 * closed stdin, an environment made from nothing, and limits on time and output. No shell is involved.
 */
import type { WorkflowLimits } from "./limits.ts";
import { createLaunch, type ProgramEnd } from "./supervisor.ts";

export interface ProcessOptions {
  command: string;
  args: string[];
  directory: string;
  /** All that the process sees of the environment. */
  environment: Record<string, string>;
  timeoutMs: number;
  limits: Pick<WorkflowLimits, "killGraceMs" | "maxProcessOutputBytes" | "maxKeptOutput">;
  signal: AbortSignal;
  /** Called with each line of stdout; a line longer than `maxKeptOutput` is left out. */
  onLine?: (line: string) => void;
}

export interface ProcessEnd extends Omit<ProgramEnd, "endedBy"> {
  /** Why it ended: of its own accord, or because we ended it. */
  endedBy: Exclude<ProgramEnd["endedBy"], "stall">;
}

/** Runs a program to its end. Rejects only when it cannot be started, or when `onLine` throws. */
export async function runProcess(options: ProcessOptions): Promise<ProcessEnd> {
  const { command, args, timeoutMs, onLine, signal } = options;
  if (signal.aborted) return { exitCode: null, endedBy: "abort", stdout: "", stderr: "" };
  // Its users look for leftovers themselves, by the workspace, after all that they run there.
  const launch = createLaunch({
    ...options,
    timeout: { name: "timeoutMs", ms: timeoutMs },
    isTracked: false,
  });
  const program = await launch({ command, args, ...(onLine ? { onLine } : {}) });
  const end = await program.ended;
  // A stall is a limit that is not set here.
  return { ...end, endedBy: end.endedBy === "stall" ? "timeout" : end.endedBy };
}

/** The environment of every program that Robson starts in a checkout: where to find programs, and a home of its own. */
export function cleanEnvironment(scratch: { home: string }): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: scratch.home,
    LANG: "C.UTF-8",
    CI: "true",
    NO_COLOR: "1",
  };
}
