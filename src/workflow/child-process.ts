/**
 * A supervised child process: its own process group, closed stdin, an environment made from nothing, limits
 * on time and output. When the promise settles nothing of the group runs any more. No shell is involved.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { WorkflowLimits } from "./limits.ts";

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

export interface ProcessEnd {
  /** Null when a signal ended it. */
  exitCode: number | null;
  /** Why it ended: of its own accord, or because we ended it. */
  endedBy: "itself" | "abort" | "timeout" | "output";
  /** The end of what it printed. */
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Rejects only when it cannot be started, or when `onLine` throws. */
export function runProcess(options: ProcessOptions): Promise<ProcessEnd> {
  const { limits, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return resolve({ exitCode: null, endedBy: "abort", stdout: "", stderr: "" });

    const child = spawn(options.command, options.args, {
      cwd: options.directory,
      env: options.environment,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let endedBy: ProcessEnd["endedBy"] = "itself";
    let failure: unknown;
    let killTimer: NodeJS.Timeout | undefined;

    const end = (reason: typeof endedBy) => {
      if (killTimer) return;
      endedBy = reason;
      signalGroup(child, "SIGTERM");
      killTimer = setTimeout(() => signalGroup(child, "SIGKILL"), limits.killGraceMs);
    };
    const onAbort = () => end("abort");
    const timer = setTimeout(() => end("timeout"), options.timeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });

    const output = collect(child, options, {
      onOverflow: () => end("output"),
      onError: (error) => {
        failure = error;
        end("output");
      },
    });
    const settle = () => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      signal.removeEventListener("abort", onAbort);
    };
    child.once("error", (error) => {
      settle();
      reject(error);
    });
    // What the program left running must not outlive it, nor hold its pipes open.
    child.once("exit", () => {
      signalGroup(child, "SIGKILL");
      setTimeout(() => destroyPipes(child), limits.killGraceMs).unref();
    });
    child.once("close", (exitCode) => {
      settle();
      if (failure === undefined) resolve({ exitCode, endedBy, ...output() });
      else reject(failure);
    });
  });
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

type Child = ChildProcessByStdio<null, Readable, Readable>;

function signalGroup(child: Child, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    // ESRCH: the group is gone. EPERM (macOS): only zombies are left of it.
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

function destroyPipes(child: Child): void {
  child.stdout.destroy();
  child.stderr.destroy();
}

interface OutputCallbacks {
  onOverflow: () => void;
  onError: (error: unknown) => void;
}

/** Keeps the end of both streams, splits stdout into lines, and tells when too much was printed. */
function collect(child: Child, { limits, onLine }: ProcessOptions, { onOverflow, onError }: OutputCallbacks) {
  const kept = { stdout: "", stderr: "" };
  let printedBytes = 0;
  const splitter = onLine ? lineSplitter(onLine, limits.maxKeptOutput) : undefined;

  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8");
    child[name].on("data", (chunk: string) => {
      printedBytes += Buffer.byteLength(chunk);
      if (printedBytes > limits.maxProcessOutputBytes) onOverflow();
      kept[name] = (kept[name] + chunk).slice(-limits.maxKeptOutput);
      if (name !== "stdout") return;
      try {
        splitter?.(chunk);
      } catch (error) {
        onError(error);
      }
    });
  }
  return () => ({ stdout: kept.stdout.toWellFormed(), stderr: kept.stderr.toWellFormed() });
}

function lineSplitter(onLine: (line: string) => void, maxLine: number): (chunk: string) => void {
  let rest = "";
  let isTooLong = false;
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!isTooLong && line.length <= maxLine) onLine(line);
      isTooLong = false;
    }
    if (rest.length > maxLine) {
      rest = "";
      isTooLong = true;
    }
  };
}
