/** Brings an SQLite file to this program's version, in one transaction that other processes wait for. */
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { Kysely } from "kysely";
import { RobsonError } from "../../core/errors.ts";
import { migrations, SCHEMA_VERSION } from "../migrations/index.ts";
import { type Migrated, newerThanProgram } from "../migrations/outcome.ts";
import { isBusy, toStoreError } from "./errors.ts";
import { kyselyDialect } from "./kysely-dialect.ts";
import { createPrivate } from "./private-file.ts";

/** How long a migration waits for other programs that use the file. */
const MIGRATION_BUSY_MS = 10_000;
/** The wait before the write-ahead log is asked for again. */
const LOG_RETRY_MS = 10;

/** Throws `STORE_NEWER` for a database of a later program, `STORE_UNREADABLE` for one of another program. */
export async function migrateSqlite(file: string): Promise<Migrated> {
  let db: DatabaseSync | undefined;
  createPrivate(file);
  try {
    db = new DatabaseSync(file, { timeout: MIGRATION_BUSY_MS, enableForeignKeyConstraints: false });
    const version = checkedVersion(db, file);
    // Only now: a file that is not for us is left as it is, to the byte.
    await switchToLog(db);
    if (version === SCHEMA_VERSION) return { from: version, to: version };
    return await applyFrom(db, file);
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

async function applyFrom(db: DatabaseSync, file: string): Promise<Migrated> {
  const kysely = new Kysely<unknown>({ dialect: kyselyDialect(db, file) });
  db.exec("begin immediate");
  try {
    // Read again inside the transaction: another process may have been first.
    const from = checkedVersion(db, file);
    for (const { version, up } of migrations) if (version > from) await up(kysely, { dialect: "sqlite" });
    db.exec(`pragma user_version = ${SCHEMA_VERSION}`);
    db.exec("commit");
    return { from, to: SCHEMA_VERSION };
  } catch (error) {
    if (db.isTransaction) db.exec("rollback");
    throw error;
  }
}

/** The version of a database that is ours and not newer than this program; 0 for an empty one. */
export function checkedVersion(db: DatabaseSync, file: string): number {
  const version = Number(db.prepare("pragma user_version").get()?.user_version);
  const tables = db
    .prepare(`select count(*) as count, count(*) filter (where name = 'process_event_deliveries') as ours
      from sqlite_master`)
    .get();
  const isOurs = Number(tables?.ours) > 0;
  if (isOurs && version > SCHEMA_VERSION) throw newerThanProgram({ location: file, version });
  if (!isOurs && (version > 0 || Number(tables?.count) > 0)) {
    throw new RobsonError("STORE_UNREADABLE", `Cannot use "${file}": it is the database of another program`, {
      hint: "Name a file of Robson's own; one that does not exist yet is created",
    });
  }
  return version;
}
