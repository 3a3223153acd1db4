/**
 * A PostgreSQL of the bench's own, from the binaries that the tests use and laid out by the same code, but with its
 * data on the disk: a commit that memory keeps would flatter whoever commits often.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chown, mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { layOut, removeFolders } from "../../src/testing/postgres/layout.ts";

export interface PostgresServer {
  url: string;
  pid: number;
  version: string;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<PostgresServer> {
  const { binaries, account, folders } = await layOut();
  const [home = "", ...inMemory] = folders;
  removeFolders(inMemory);
  const data = join(home, "data-on-disk");
  await mkdir(data, { mode: 0o700 });
  if (account.uid !== undefined && account.gid !== undefined) await chown(data, account.uid, account.gid);
  const surroundings = { ...account, cwd: data, env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" } };
  const flags = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"];
  await promisify(execFile)(join(binaries, "initdb"), [`--pgdata=${data}`, ...flags], surroundings);
  const port = await freePort();
  const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
  const child = spawn(
    join(binaries, "postgres"),
    ["-D", data, `--port=${port}`, ...settings.map((setting) => `--${setting}`)],
    { ...surroundings, stdio: ["ignore", "ignore", "pipe"] },
  );
  await untilReady(child);
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const [row] = await queryPostgres(url, "show server_version");
  const stop = async () => {
    child.kill("SIGINT");
    if (child.exitCode === null) await once(child, "close");
    removeFolders(folders);
  };
  return { url, pid: child.pid ?? 0, version: String(row?.server_version), stop };
}

async function untilReady(child: ChildProcess): Promise<void> {
  const ready = Promise.withResolvers<void>();
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-4000);
    if (text.includes("ready to accept connections")) ready.resolve();
  });
  child.on("close", () => ready.reject(new Error(`PostgreSQL ended: ${log}`)));
  await ready.promise;
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("no free port on 127.0.0.1");
  return address.port;
}

export async function queryPostgres(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(text);
    // Counts come as text, since they may be larger than a number is exact.
    const numeric = (value: unknown) =>
      typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
    return rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, numeric(value)])),
    );
  } finally {
    await client.end();
  }
}

/** A new database on the server, empty or a copy; resolves with its URL. */
export async function createDatabase(serverUrl: string, template = "template1"): Promise<string> {
  const url = new URL(serverUrl);
  url.pathname = `/bench_${randomBytes(6).toString("hex")}`;
  await queryPostgres(serverUrl, `create database ${url.pathname.slice(1)} template ${template}`);
  return url.href;
}

export async function dropDatabase(url: string): Promise<void> {
  const server = new URL(url);
  const name = server.pathname.slice(1);
  server.pathname = "/postgres";
  await queryPostgres(server.href, `drop database if exists ${name} with (force)`);
}
