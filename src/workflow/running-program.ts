/**
 * One running program and its end. The end is kind first: SIGINT, at half of `killGraceMs` SIGTERM, at the whole of it
 * SIGKILL, each to the group. Once the program is gone, so is its group, and then what left the group, found by its
 * mark; only then it counts as ended. A crash of Robson leaves it to its guardian.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { guard } from "./guardian.ts";
import { endMarked, PROGRAM_VARIABLE, signalGroup } from "./leftovers.ts";
import { type CollectedOutput, collectOutput } from "./process-output.ts";
import type { SandboxedProgram } from "./sandbox.ts";
import type { LaunchedProgram, LaunchOptions, LaunchRequest, ProgramEnd } from "./supervisor.ts";

/** How long what lies in the pipes has to be read before a program counts as silent. */
const HEAR_MS = 100;

export interface StartOptions extends LaunchOptions {
  request: LaunchRequest;
}

/** Starts it; rejects when it cannot be started. From then on `program.close` is called at its end. */
export async function startProgram(
  program: SandboxedProgram,
  options: StartOptions,
): Promise<LaunchedProgram> {
  const id = program.environment[PROGRAM_VARIABLE];
  const mark = id === undefined ? undefined : `${PROGRAM_VARIABLE}=${id}`;
  const guardian = mark === undefined ? undefined : guard({ mark });
  const spawnOptions: SpawnOptions = {
    cwd: program.directory,
    env: program.environment,
    // A group of its own, so that the whole of it can be ended.
    detached: true,
    stdio: [options.request.stdin === "pipe" ? "pipe" : "ignore", "pipe", "pipe"],
  };
  const child = spawn(program.command, program.args, spawnOptions);
  const { pid } = child;
  if (pid !== undefined) guardian?.watch(pid);
  try {
    await once(child, "spawn");
  } catch (error) {
    await guardian?.dismiss();
    throw error;
  }
  return new RunningProgram({ child, program, mark, guardian }, options);
}

interface Parts {
  child: ChildProcess;
  program: SandboxedProgram;
  /** Absent where nothing is searched for. */
  mark: string | undefined;
  guardian: ReturnType<typeof guard> | undefined;
}

class RunningProgram implements LaunchedProgram {
  readonly pid: number;
  readonly stdin?: NodeJS.WritableStream;
  readonly ended: Promise<ProgramEnd>;
  readonly #parts: Parts;
  readonly #options: StartOptions;
  readonly #output: CollectedOutput;
  #endedBy: ProgramEnd["endedBy"] = "itself";
  #why: string | undefined;
  #failure: { error: unknown } | undefined;
  #isEnding = false;
  #timers: NodeJS.Timeout[] = [];
  /** Runs while the program has the word. */
  #silence: NodeJS.Timeout | undefined;
  /** How many answers of ours it waits for. */
  #awaited = 0;

  constructor(parts: Parts, options: StartOptions) {
    const { child } = parts;
    this.#parts = parts;
    this.#options = options;
    this.pid = child.pid ?? 0;
    if (child.stdin) {
      this.stdin = child.stdin;
      // A program that ends without having read everything: its end tells, not the pipe.
      child.stdin.on("error", () => undefined);
    }
    this.#startTimers();
    this.#output = collectOutput(child, {
      maxBytes: options.limits.maxProcessOutputBytes,
      maxKept: options.limits.maxKeptOutput,
      maxLine: options.maxLine ?? options.limits.maxKeptOutput,
      onLine: options.request.onLine,
      onData: () => this.#listen(),
      onOverflow: () =>
        this.#end(
          "output",
          `it printed more than maxProcessOutputBytes (${options.limits.maxProcessOutputBytes})`,
        ),
      onError: (error) => this.#fail(error),
    });
    this.ended = this.#settle();
    // Whoever started it awaits its end, but perhaps not in this turn of the event loop.
    this.ended.catch(() => undefined);
  }

  end(): void {
    this.#end("abort");
  }

  async awaiting<T>(answer: Promise<T>): Promise<T> {
    this.#awaited += 1;
    this.#listen();
    try {
      return await answer;
    } finally {
      this.#awaited -= 1;
      this.#listen();
    }
  }

  #startTimers(): void {
    const { timeout, signal } = this.#options;
    const { overLimit } = this.#parts.program;
    this.#onAbort(signal, () => this.#end("abort"));
    this.#onAbort(overLimit, () => this.#fail(overLimit.reason));

    const late = () => this.#end("timeout", `it took longer than ${timeout.name} (${timeout.ms} ms)`);
    this.#timers.push(setTimeout(late, timeout.ms));
    this.#listen();
  }

  /** From now on its silence counts anew. */
  #listen(): void {
    const { stall } = this.#options;
    clearTimeout(this.#silence);
    if (stall === undefined || this.#awaited > 0 || this.#isEnding || this.#hasExited()) return;
    const silent = () => this.#end("stall", `it said nothing for longer than ${stall.name} (${stall.ms} ms)`);
    // Frozen himself, Robson may not have read yet what was said meanwhile.
    const hear = () => {
      this.#silence = setTimeout(silent, HEAR_MS);
    };
    this.#silence = setTimeout(hear, stall.ms);
  }

  #onAbort(signal: AbortSignal, end: () => void): void {
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    this.#parts.child.once("exit", () => signal.removeEventListener("abort", end));
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#end("abort");
  }

  #end(reason: ProgramEnd["endedBy"], why?: string): void {
    if (this.#isEnding || this.#hasExited()) return;
    this.#isEnding = true;
    this.#endedBy = reason;
    this.#why = why;
    const { killGraceMs } = this.#options.limits;
    signalGroup(this.pid, "SIGINT");
    this.#timers.push(
      setTimeout(() => signalGroup(this.pid, "SIGTERM"), Math.ceil(killGraceMs / 2)),
      setTimeout(() => signalGroup(this.pid, "SIGKILL"), killGraceMs),
    );
  }

  #hasExited(): boolean {
    const { exitCode, signalCode } = this.#parts.child;
    return exitCode !== null || signalCode !== null;
  }

  async #settle(): Promise<ProgramEnd> {
    const { child, mark, guardian, program } = this.#parts;
    const closed = once(child, "close");
    if (!this.#hasExited()) await once(child, "exit");
    for (const timer of [...this.#timers, this.#silence]) clearTimeout(timer);
    // What the program left running must not outlive it, nor hold its pipes open.
    signalGroup(this.pid, "SIGKILL");
    const pipes = setTimeout(() => destroyPipes(child), this.#options.limits.killGraceMs);
    try {
      if (mark !== undefined) await endMarked(mark);
      await closed;
    } finally {
      clearTimeout(pipes);
      await guardian?.dismiss();
      await program.close();
    }
    if (this.#failure) throw this.#failure.error;
    return {
      exitCode: child.exitCode,
      endedBy: this.#endedBy,
      ...(this.#why === undefined ? {} : { why: this.#why }),
      ...this.#output.kept(),
    };
  }
}

function destroyPipes(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
}
