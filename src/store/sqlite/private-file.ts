/**
 * Makes the files of a database before SQLite would: they hold what people have said, and are for their user alone.
 * The log and its index, which SQLite adds, have the rights of the database.
 */
import { closeSync, openSync } from "node:fs";

export const PRIVATE_MODE = 0o600;

/** Makes the file where it is missing. Never throws: SQLite opens it next, and says what is wrong with it. */
export function createPrivate(file: string): void {
  try {
    // Only one that is missing: closing another would let go of all locks that this process has on it.
    closeSync(openSync(file, "wx", PRIVATE_MODE));
  } catch {
    // There already, or not to be made.
  }
}
