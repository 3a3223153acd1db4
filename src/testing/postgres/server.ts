/**
 * The PostgreSQL server itself: its files laid out, initdb, start, stop, files removed. Runs inside the guard.
 * PostgreSQL refuses to run as root, and the checkout may lie where no other user can read; so the binaries are
 * copied to a temporary folder, and root runs them as `nobody`.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { type Layout, layOut, removeFolders } from "./layout.ts";

export interface ServerOptions {
  maxConnections: number;
  /** Whether commits wait for the disk (`fsync`). Off is faster and not what production does. */
  isDurable: boolean;
}

export const DEFAULT_SERVER_OPTIONS: ServerOptions = { maxConnections: 200, isDurable: true };

export interface Server {
  url: string;
  /** Resolves when the server has ended, of itself or by `stop`. */
  ended: Promise<void>;
  stop(): Promise<void>;
}

/** Another process can take the free port between our look and the server's; then another port is tried. */
const MAX_START_ATTEMPTS = 5;
/** How long each step of stopping may take: `immediate` (its data is thrown away with it), then SIGKILL. */
const STOP_STEP_MS = 5_000;
const MAX_LOG_TAIL = 4_000;

/** Leaves no file and no process behind when it fails, nor when `isOver` resolves on the way. */
export async function startServer(options: ServerOptions, isOver: Promise<void>): Promise<Server> {
  let wasStopped = false;
  void isOver.then(() => {
    wasStopped = true;
  });
  const layout = await layOut();
  const removeFiles = () => removeFolders(layout.folders);
  try {
    await initialise(layout);
    for (let attempt = 1; !wasStopped; attempt += 1) {
      const started = await launch(layout, options);
      if ("server" in started) return withRemoval(started.server, removeFiles);
      if (attempt === MAX_START_ATTEMPTS || !started.log.includes("could not bind"))
        throw new Error(started.log);
    }
    throw new Error("it was stopped while it started");
  } catch (error) {
    removeFiles();
    throw error;
  }
}

function withRemoval(server: Server, removeFiles: () => void): Server {
  const stop = async () => {
    await server.stop();
    removeFiles();
  };
  return { ...server, stop };
}

async function initialise({ binaries, data, account }: Layout): Promise<void> {
  const flags = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"];
  const locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
  const args = [`--pgdata=${data}`, ...flags, ...locale];
  await promisify(execFile)(`${binaries}/initdb`, args, { ...account, ...environment(data) });
}

async function launch(layout: Layout, options: ServerOptions): Promise<{ server: Server } | { log: string }> {
  const port = await freePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: options.maxConnections,
    fsync: options.isDurable ? "on" : "off",
  };
  const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  const child = spawnServer(layout, [`--port=${port}`, ...flags]);
  const ended = once(child, "close").then(() => undefined);

  const log = await logUntilReady(child);
  if (log !== undefined) return { log };
  return {
    server: {
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      ended,
      stop: () => stopServer(child, ended),
    },
  };
}

function spawnServer({ binaries, data, account }: Layout, flags: string[]): ChildProcess {
  const stdio: ["ignore", "ignore", "pipe"] = ["ignore", "ignore", "pipe"];
  return spawn(`${binaries}/postgres`, ["-D", data, ...flags], { ...account, ...environment(data), stdio });
}

/** Nothing of ours reaches the server: no PG… variables, no locale, no secrets. */
function environment(data: string): { cwd: string; env: NodeJS.ProcessEnv } {
  return { cwd: data, env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" } };
}

/** Undefined once the server takes connections; what it last logged when it ended before. */
function logUntilReady(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let tail = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      tail = (tail + text).slice(-MAX_LOG_TAIL);
      if (tail.includes("ready to accept connections")) resolve(undefined);
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", () => resolve(tail.trim() || "the server ended without a word"));
  });
}

async function stopServer(child: ChildProcess, ended: Promise<void>): Promise<void> {
  for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    child.kill(signal);
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), STOP_STEP_MS);
    const gaveUp = once(patience.signal, "abort");
    await Promise.race([ended, gaveUp]);
    clearTimeout(timer);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("no free port on 127.0.0.1");
  return address.port;
}
