/**
 * Brings an SQLite file to this program's version, in one transaction that other processes wait for. A migration that
 * an older program would not survive is refused while one owns the file.
 */
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { RobsonError } from "../../core/errors.ts";
import {
  checkUsable,
  type DatabaseVersion,
  oldestProgram,
  type Program,
  pending,
} from "../migrations/compatibility.ts";
import { type Migrated, stopOthersFirst } from "../migrations/outcome.ts";
import { isBusy, toStoreError } from "./errors.ts";
import { type OwnerLock, takeOwnerLock } from "./owner-lock.ts";
import { ownerName } from "./ownership.ts";
import { createPrivate } from "./private-file.ts";

/** How long a migration waits for other programs that use the file. */
const MIGRATION_BUSY_MS = 10_000;
/** The wait before the write-ahead log is asked for again. */
const LOG_RETRY_MS = 10;

/**
 * Throws `STORE_NEWER` for a database of a later program that this one cannot work beside, `STORE_UNREADABLE` for
 * one of another program.
 */
export async function migrateSqlite(file: string, program: Program): Promise<Migrated> {
  let db: DatabaseSync | undefined;
  createPrivate(file);
  try {
    db = new DatabaseSync(file, { timeout: MIGRATION_BUSY_MS, enableForeignKeyConstraints: false });
    const version = checkedVersion(db, { file, program });
    // Only now: a file that is not for us is left as it is, to the byte.
    await switchToLog(db);
    if (version >= program.length) return { from: version, to: version };
    return await applyPending(db, { file, program });
  } catch (error) {
    throw toStoreError(error, file);
  } finally {
    if (db?.isOpen) db.close();
  }
}

/** SQLite refuses this at once where two processes would wait for each other. */
async function switchToLog(db: DatabaseSync): Promise<void> {
  const giveUpAt = performance.now() + MIGRATION_BUSY_MS;
  for (;;) {
    try {
      db.exec("pragma journal_mode = wal");
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error;
      await setTimeout(LOG_RETRY_MS);
    }
  }
}

interface Target {
  file: string;
  program: Program;
}

async function applyPending(db: DatabaseSync, { file, program }: Target): Promise<Migrated> {
  const [{ Kysely }, { kyselyDialect }] = await Promise.all([
    import("kysely"),
    import("./kysely-dialect.ts"),
  ]);
  const kysely = new Kysely<unknown>({ dialect: kyselyDialect(db, file) });
  const known = program.length;
  let lock: OwnerLock | undefined;
  db.exec("begin immediate");
  try {
    // Read again inside the transaction: another process may have been first, a newer program even.
    const from = checkedVersion(db, { file, program });
    const { steps, isBesideOthers } = pending(program, from);
    if (!isBesideOthers) lock = keepOthersOut(db, { file, from, known });
    for (const { up } of steps) await up(kysely, { dialect: "sqlite" });
    if (steps.length > 0) remember(db, program);
    db.exec("commit");
    return { from, to: Math.max(from, known) };
  } catch (error) {
    if (db.isTransaction) db.exec("rollback");
    throw error;
  } finally {
    lock?.release();
  }
}

/** Makes sure that nobody owns the file, nor begins to until the lock is released. */
function keepOthersOut(
  db: DatabaseSync,
  { file, from, known }: { file: string; from: number; known: number },
): OwnerLock {
  const lock = takeOwnerLock(file);
  if (lock) return lock;
  throw stopOthersFirst({ location: file, version: from, known, owner: ownerName(db) });
}

/** The version is in the file's header, and once more beside what holds for that version alone. */
function remember(db: DatabaseSync, program: Program): void {
  db.exec(`pragma user_version = ${program.length};
    create table if not exists robson_schema (version integer not null, oldest_program integer not null);
    delete from robson_schema`);
  db.prepare("insert into robson_schema (version, oldest_program) values (?, ?)").run(
    program.length,
    oldestProgram(program),
  );
}

/** The version of a database that is ours and that this program can work on; 0 for an empty one. */
export function checkedVersion(db: DatabaseSync, { file, program }: Target): number {
  const version = Number(db.prepare("pragma user_version").get()?.user_version);
  const tables = db
    .prepare(`select count(*) as count, count(*) filter (where name = 'process_event_deliveries') as ours,
      count(*) filter (where name = 'robson_schema') as has_schema from sqlite_master`)
    .get();
  const isOurs = Number(tables?.ours) > 0;
  if (!isOurs && (version > 0 || Number(tables?.count) > 0)) {
    throw new RobsonError("STORE_UNREADABLE", `Cannot use "${file}": it is the database of another program`, {
      hint: "Name a file of Robson's own; one that does not exist yet is created",
    });
  }
  // Only where it matters: nothing is read of a database of this version but its header.
  if (version <= program.length) return version;
  const found: DatabaseVersion = { version, oldestProgram: version };
  if (Number(tables?.has_schema) > 0) {
    const known = db.prepare("select oldest_program from robson_schema where version = ?").get(version);
    found.oldestProgram = Number(known?.oldest_program ?? version);
  }
  checkUsable(found, { location: file, program });
  return version;
}
