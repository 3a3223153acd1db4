/** `robson agent` from `dist/` as a real process that a test can kill. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface AgentProcess {
  pid: number;
  /** Resolves when it listens, or when it has ended without. */
  listening: Promise<void>;
  /** What it logged, line by line. */
  log: string[];
  /** Its exit code, when it has ended and its log is complete; null after a kill. */
  exited: Promise<number | null>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
}

export interface AgentProcessOptions {
  /** A command that runs the one it is given, with its limits. */
  within?: string[];
  nodeArgs?: string[];
  /** That of another release. */
  main?: string;
}

/** Starts an agent in `folder`, which holds its robson.toml, with an environment made from nothing. */
export function startAgentProcess(
  folder: string,
  { within = [], nodeArgs = [], main = MAIN }: AgentProcessOptions = {},
): AgentProcess {
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", ...nodeArgs];
  const [command = "", ...args] = [...within, ...node, main, "agent"];
  const child = spawn(command, args, {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const log: string[] = [];
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  createInterface({ input: child.stderr }).on("line", (line) => {
    log.push(line);
    if (line.includes("listening for HTTP requests")) resolve();
  });
  const exited = once(child, "close").then(([code]) => code as number | null);
  void exited.then(() => resolve());
  const end = (signal: NodeJS.Signals) => {
    if (isRunning(child)) child.kill(signal);
    return exited;
  };
  return {
    pid: child.pid ?? 0,
    listening,
    log,
    exited,
    signal: (name) => void child.kill(name),
    kill: async () => void (await end("SIGKILL")),
    stop: () => end("SIGTERM"),
  };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}
