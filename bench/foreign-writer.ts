/**
 * Another program that writes to the SQLite file of a running Robson: short transactions all the time, and now and
 * then one that holds the file for half a second. Run as a process of its own by `startForeignWriter`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const FILE = fileURLToPath(import.meta.url);
const PAUSE_MS = 40;
const SHORT_HOLD_MS = 10;
const LONG_HOLD_MS = 500;
/** Every so many transactions one is long. */
const LONG_EVERY = 40;

export interface ForeignWrites {
  transactions: number;
  heldMs: number;
}

export async function startForeignWriter(file: string): Promise<{ stop(): Promise<ForeignWrites> }> {
  const child = spawn(process.execPath, [FILE, file], { stdio: ["pipe", "pipe", "inherit"] });
  await firstLine(child);
  return {
    async stop() {
      const last = firstLine(child);
      child.stdin.end();
      const writes = JSON.parse(await last) as ForeignWrites;
      if (child.exitCode === null) await once(child, "exit");
      return writes;
    },
  };
}

async function firstLine(child: ChildProcess): Promise<string> {
  const [chunk] = await once(child.stdout ?? child, "data");
  return String(chunk);
}

if (process.argv[1] === FILE) await write(process.argv[2] ?? "");

async function write(file: string): Promise<void> {
  const db = new DatabaseSync(file, { timeout: 10_000 });
  db.exec("create table if not exists foreign_notes (id integer primary key, note text)");
  const insert = db.prepare("insert into foreign_notes (note) values ('x')");
  const over = new AbortController();
  process.stdin.on("end", () => over.abort()).resume();
  process.stdout.write("ready\n");
  const writes: ForeignWrites = { transactions: 0, heldMs: 0 };
  while (!over.signal.aborted) {
    const holdMs = writes.transactions % LONG_EVERY === LONG_EVERY - 1 ? LONG_HOLD_MS : SHORT_HOLD_MS;
    db.exec("begin immediate");
    insert.run();
    await sleep(holdMs);
    db.exec("commit");
    writes.transactions += 1;
    writes.heldMs += holdMs;
    await sleep(PAUSE_MS, undefined, { signal: over.signal }).catch(() => undefined);
  }
  db.close();
  process.stdout.write(`${JSON.stringify(writes)}\n`);
}
