/**
 * A lock between processes, for whoever needs one: an exclusive transaction on a file of its own. The system lets go of
 * it when the holder's process ends, however it ends. Nothing is ever written to the file.
 */
import { DatabaseSync } from "node:sqlite";
import type { FileLock } from "../../workflow/file-lock.ts";
import { isBusy, toStoreError } from "./errors.ts";
import { createPrivate } from "./private-file.ts";

/** Undefined while this or another process holds it. Its folder must be there. */
export function tryFileLock(file: string): FileLock | undefined {
  let db: DatabaseSync | undefined;
  try {
    createPrivate(file);
    db = new DatabaseSync(file, { timeout: 0 });
    db.exec("begin exclusive");
    const held = db;
    return {
      get isHeld() {
        return held.isOpen;
      },
      release() {
        if (held.isOpen) held.close();
      },
    };
  } catch (error) {
    if (db?.isOpen) db.close();
    if (isBusy(error)) return undefined;
    throw toStoreError(error, file);
  }
}
