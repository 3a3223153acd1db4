/** For the tests of the command line: `robson` as a process of its own, in a folder of its own. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { onTestFinished } from "vitest";
import { runCli } from "./program.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const MAX_WAIT_MS = 60_000;

export interface Finished {
  stdout: string;
  stderr: string;
  exitCode: number | null;
}

/** An empty folder, removed after the test. */
export function aFolder(files: Record<string, string> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "robson-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

/** Runs one command to its end. */
export function robson(cwd: string, ...args: string[]): Promise<Finished> {
  return startRobson(cwd, args).finished;
}

/** Runs one command to its end within this process. */
export async function robsonHere(cwd: string, ...args: string[]): Promise<Finished> {
  const written = { stdout: "", stderr: "" };
  const exitCode = await runCli(args, {
    cwd,
    env: {},
    isTerminal: false,
    out: (line) => {
      written.stdout += `${line}\n`;
    },
    err: (line) => {
      written.stderr += `${line}\n`;
    },
    style: (_format, text) => text,
    catchSignals: () => new AbortController().signal,
  });
  return { ...written, exitCode };
}

export class RunningRobson {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly finished: Promise<Finished>;
  #stdout = "";
  #stderr = "";
  #hasEnded = false;

  constructor(child: ChildProcessByStdio<null, Readable, Readable>) {
    this.child = child;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.finished = once(child, "close").then(([exitCode]) => {
      this.#hasEnded = true;
      return { stdout: this.#stdout, stderr: this.#stderr, exitCode: exitCode as number | null };
    });
  }

  /** Resolves with the first match in what it writes to stderr. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const signal = AbortSignal.timeout(MAX_WAIT_MS);
    for (;;) {
      const found = pattern.exec(this.#stderr);
      if (found !== null) return found;
      // Its exit code may be here before its last words.
      if (this.#hasEnded) throw new Error(`It ended without saying ${pattern}: ${this.#stderr}`);
      await Promise.race([once(this.child.stderr, "data", { signal }), this.finished]);
    }
  }
}

/** Starts a command that goes on; it is killed after the test if it still runs. */
export function startRobson(cwd: string, args: string[], env: Record<string, string> = {}): RunningRobson {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return new RunningRobson(child);
}

/** `robson agent` on a free port, ready for messages. */
export function startAgentProcess(cwd: string, ...args: string[]): Promise<RunningRobson & { url: string }> {
  return startListening(cwd, ["agent", ...args]);
}

/** A command that serves HTTP, on a free port; resolves when it listens. */
export async function startListening(cwd: string, args: string[]): Promise<RunningRobson & { url: string }> {
  writeFileSync(join(cwd, "robson.toml"), "[server]\nport = 0\n", { flag: "a" });
  const running = startRobson(cwd, args);
  const [, url = ""] = await running.says(/"url":"([^"]+)".*"msg":"listening for HTTP requests"/);
  return Object.assign(running, { url });
}
