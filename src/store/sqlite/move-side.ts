/** An SQLite file as one side of a move: owned, so that no agent starts on it, and in a transaction that writes. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { RobsonError } from "../../core/errors.ts";
import { type MoveSide, ROWS_AT_ONCE, type TablePart } from "../move-side.ts";
import { toStoreError } from "./errors.ts";
import { type OwnerLock, takeOwnerLock } from "./owner-lock.ts";
import { ownerName } from "./ownership.ts";

/** How long another program's transaction is waited for. */
const BUSY_TIMEOUT_MS = 10_000;

/** Throws `ALREADY_RUNNING` while an agent owns the file. */
export async function openSqliteSide(file: string): Promise<MoveSide> {
  let db: DatabaseSync | undefined;
  let lock: OwnerLock | undefined;
  try {
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: false });
    lock = takeOwnerLock(file);
    if (!lock) throw isOwned(file, ownerName(db));
    db.exec("pragma synchronous = full; begin immediate");
    return createSide({ file, db, lock });
  } catch (error) {
    lock?.release();
    if (db?.isOpen) db.close();
    throw toStoreError(error, file);
  }
}

function isOwned(file: string, owner: string): RobsonError {
  return new RobsonError("ALREADY_RUNNING", `Cannot move "${file}": ${owner} is working on it`, {
    hint: "Stop that process first, with SIGTERM or Ctrl-C",
  });
}

function createSide({ file, db, lock }: { file: string; db: DatabaseSync; lock: OwnerLock }): MoveSide {
  const run = async <T>(work: () => T): Promise<T> => {
    try {
      return work();
    } catch (error) {
      throw toStoreError(error, file);
    }
  };
  const inserts = new Map<string, StatementSync>();
  const prepareInsert = ({ table, columns }: TablePart) =>
    db.prepare(`insert into ${table} (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`);
  return {
    location: file,
    columns: (table) =>
      run(() =>
        db
          .prepare("select name from pragma_table_info(?) order by cid")
          .all(table)
          .map(({ name }) => String(name)),
      ),
    count: (table) => run(() => Number(db.prepare(`select count(*) as count from ${table}`).get()?.count)),
    async *rows({ table, columns }) {
      const select = await run(() => db.prepare(`select ${columns.join(", ")} from ${table} order by 1`));
      select.setReturnArrays(true);
      const all = select.iterate() as unknown as Iterator<unknown[]>;
      for (;;) {
        const rows = await run(() => take(all));
        if (rows.length > 0) yield rows;
        if (rows.length < ROWS_AT_ONCE) return;
      }
    },
    insert: (part, rows) =>
      run(() => {
        const insert = inserts.get(part.table) ?? prepareInsert(part);
        inserts.set(part.table, insert);
        for (const row of rows) insert.run(...(row as SQLInputValue[]));
      }),
    clear: (table) => run(() => db.exec(`delete from ${table}`)),
    // New rows get the highest id and one: SQLite has no counter that would have to be set.
    commit: () => run(() => db.exec("commit; pragma wal_checkpoint(truncate)")),
    async close() {
      if (db.isOpen) {
        if (db.isTransaction) db.exec("rollback");
        db.close();
      }
      lock.release();
    },
  };
}

function take(all: Iterator<unknown[]>): unknown[][] {
  const rows: unknown[][] = [];
  while (rows.length < ROWS_AT_ONCE) {
    const { value, done } = all.next();
    if (done === true) break;
    rows.push(value);
  }
  return rows;
}
