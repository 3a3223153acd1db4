/**
 * For programs that stand for real coding agents in tests: plays what the real one has printed (`*.jsonl`, with
 * {directory} and {session} in it), does for real what that says was done, and keeps sessions where the real one would.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseObject } from "../workflow/agent-program.ts";
import type { AgentScene } from "./test-coding-agent.ts";

export interface PlayOptions {
  /** The folder of the recordings. */
  from: string;
  session: string;
  /** Does what the event says is being done, before the next one is printed. */
  act(event: Record<string, unknown>): Promise<void> | void;
  /** How many of its lines. Default: all. */
  lines?: number;
}

/** What the test has put into the program's home. */
export function sceneOf(home: string): AgentScene {
  return JSON.parse(readFileSync(join(home, "scene.json"), "utf8"));
}

/** Has the program play this scene. */
export function setScene(home: string, scene: AgentScene): void {
  writeFileSync(join(home, "scene.json"), JSON.stringify(scene));
}

/** An executable file that runs a program of ours as an agent's command, with the node that runs the tests. */
export function writeCommand(folder: string, program: string): string {
  const file = join(folder, "agent-command");
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", program];
  writeFileSync(file, `#!/bin/sh\nexec ${node.map((part) => `'${part}'`).join(" ")} "$@"\n`, { mode: 0o755 });
  return file;
}

/** Prints a recording, line by line. */
export async function play(name: string, { from, session, act, lines }: PlayOptions): Promise<void> {
  const recorded = readFileSync(join(from, `${name}.jsonl`), "utf8")
    .trim()
    .split("\n");
  for (const line of recorded.slice(0, lines)) {
    const text = line.replaceAll("{session}", session).replaceAll("{directory}", process.cwd());
    print(text);
    await act(parseObject(text) ?? {});
  }
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** As the real programs end on a wrong call. */
export function refuse(message: string, exitCode = 1): never {
  process.stderr.write(`${message}\n`);
  process.exit(exitCode);
}

/** A session is a file in the home; a fresh one is made. */
export function hasSession(file: string): boolean {
  return existsSync(file);
}

export function keepSession(file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, "");
}

/** Runs a command and waits for its end, or until it is killed with everything else. */
export async function runCommand(command: string): Promise<void> {
  const child = spawn("sh", ["-c", command], { stdio: ["ignore", "ignore", "inherit"] });
  await once(child, "exit");
}

export function writeFile(path: string, content: string): void {
  writeFileSync(path, content);
}

/** Obeys nothing and says nothing; what it waits for is its end by force. */
export function hang(): Promise<never> {
  setInterval(() => undefined, 60_000);
  return new Promise(() => undefined);
}

/** Prints without end. */
export async function flood(): Promise<never> {
  for (;;) {
    if (!process.stdout.write(`${"x".repeat(8191)}\n`)) await once(process.stdout, "drain");
  }
}

export function ignoreSignals(): void {
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => undefined);
}
