/** What SQLite's result codes mean to us: the row's fault, a matter of time, or the machine's. */
import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { RobsonError } from "../../core/errors.ts";

// Primary result codes: https://www.sqlite.org/rescode.html
const SQLITE_ERROR = 1;
const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_PROTOCOL = 15;
const SQLITE_TOOBIG = 18;
const SQLITE_CONSTRAINT = 19;
const SQLITE_MISMATCH = 20;
const SQLITE_RANGE = 25;
const SQLITE_NOTADB = 26;

/** Of the files beside the database, by the system's names for what went wrong. */
const FILE_ERRORS: Record<string, number> = {
  EACCES: SQLITE_PERM,
  EPERM: SQLITE_PERM,
  EROFS: SQLITE_READONLY,
  ENOSPC: SQLITE_FULL,
  EDQUOT: SQLITE_FULL,
  ENOENT: SQLITE_CANTOPEN,
  ENOTDIR: SQLITE_CANTOPEN,
  EISDIR: SQLITE_CANTOPEN,
};

/** The primary result code of an error of `node:sqlite` or of the file system; undefined for any other error. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("errcode" in error && typeof error.errcode === "number") return error.errcode & 0xff;
  if ("syscall" in error && "code" in error) return FILE_ERRORS[String(error.code)] ?? SQLITE_IOERR;
  // A connection that is closed already.
  return "code" in error && error.code === "ERR_INVALID_STATE" ? SQLITE_IOERR : undefined;
}

/** Another process holds the file; it will let go of it. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED || code === SQLITE_PROTOCOL;
}

/** The error as ours. `STORE_REFUSED_ROW` where nothing but the row itself can be the reason. */
export function toStoreError(error: unknown, file: string): RobsonError {
  if (error instanceof RobsonError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const make = (code: RobsonError["code"], what: string, hint: string) =>
    new RobsonError(code, `Cannot ${what} the database "${file}": ${reason}`, { hint, cause: error });
  switch (resultCode(error)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return make(
        "STORE_BUSY",
        "write to",
        "Another program holds the file; end its transaction, or try again",
      );
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return make("STORE_READ_ONLY", "write to", "Make the file and its folder writable for this user");
    case SQLITE_FULL:
      return make("STORE_FULL", "write to", "Free space on its disk; nothing that was stored is damaged");
    case SQLITE_CANTOPEN:
      return make("STORE_UNREADABLE", "open", hintToOpen(file));
    case SQLITE_CORRUPT:
      return make("STORE_UNREADABLE", "read", "Restore it from a backup; keep the damaged file");
    case SQLITE_NOTADB:
      return make("STORE_UNREADABLE", "open", "It is not an SQLite database; name another file");
    case undefined:
    case SQLITE_ERROR:
    case SQLITE_TOOBIG:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
      return make(
        "STORE_REFUSED_ROW",
        "write a row to",
        "Report this with the row's ids; its neighbours are stored",
      );
    default:
      return make("STORE_UNAVAILABLE", "use", "Look at the disk's health and free space, then start again");
  }
}

function hintToOpen(file: string): string {
  if (isFolder(file)) return "It is a folder; name a file in it, such as robson.db";
  if (!existsSync(file) && isFolder(dirname(file)))
    return "There is no such file: check its path, or make its folder writable for this user where it is to be created";
  return "Create its folder, and make both readable and writable for this user";
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // Missing, or not to be looked at; the hint for those files says what to do.
    return false;
  }
}

/** Whether the error says that no row at all can be written at this moment. */
export function concernsWholeBatch(error: unknown): boolean {
  // Our own word is about one operation: a closed delivery, a run that there is already.
  if (error instanceof RobsonError) return false;
  const { code } = toStoreError(error, "");
  return code !== "STORE_REFUSED_ROW";
}
