/**
 * Who owns an SQLite file: the process that holds an exclusive transaction on the file `<db>.owner` beside it.
 * The system lets go of it when that process ends, however it ends. Nothing is ever written to it.
 */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { isBusy, toStoreError } from "./errors.ts";
import { createPrivate } from "./private-file.ts";

/** How long taking the lock waits: longer than another process's look at it takes. */
const LOCK_BUSY_MS = 250;

export interface OwnerLock {
  release(): void;
}

/** Undefined when another process holds it. */
export function takeOwnerLock(file: string): OwnerLock | undefined {
  let db: DatabaseSync | undefined;
  createPrivate(lockFile(file));
  try {
    db = new DatabaseSync(lockFile(file), { timeout: LOCK_BUSY_MS });
    db.exec("begin exclusive");
    const held = db;
    return {
      release() {
        if (held.isOpen) held.close();
      },
    };
  } catch (error) {
    if (db?.isOpen) db.close();
    if (isBusy(error)) return undefined;
    throw toStoreError(error, lockFile(file));
  }
}

/** Whether a process holds the lock at this moment. */
export function isOwnerLocked(file: string): boolean {
  if (!existsSync(lockFile(file))) return false;
  const db = new DatabaseSync(lockFile(file), { timeout: 0, readOnly: true });
  try {
    db.prepare("select count(*) from sqlite_master").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw toStoreError(error, lockFile(file));
  } finally {
    db.close();
  }
}

function lockFile(file: string): string {
  return `${file}.owner`;
}
