/**
 * The history in a file that only its user may read: one JSON string a line, so that an entry may have many
 * lines. It is a comfort: what is broken in it is skipped, and a file that cannot be written ends nothing.
 */
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { MAX_HISTORY_ENTRIES, MAX_HISTORY_ENTRY_LENGTH } from "./history.ts";

const MODE = 0o600;
const FOLDER_MODE = 0o700;
/** A larger file is not ours. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

export interface HistoryFile {
  /** What it had when it was opened. */
  entries: string[];
  /** Adds an entry; the first failure is told to `onError`, later ones are like it. */
  append(text: string): void;
}

/**
 * Where the history of a database is kept: beside one that is a file, else among the user's state, so that it is the
 * same whatever folder one is in.
 */
export function historyPath(location: string, env: { XDG_STATE_HOME?: string | undefined }): string {
  const isServer = /^[a-z][a-z0-9+.-]+:\/\//i.test(location);
  if (!isServer) return join(dirname(location), ".robson-history");
  const { XDG_STATE_HOME: given = "" } = env;
  // Its specification wants a relative one ignored.
  const state = isAbsolute(given) ? given : join(homedir(), ".local", "state");
  return join(state, "robson", "history");
}

/** Reads the file, which need not exist, and drops its oldest entries when it has grown. */
export function openHistoryFile(file: string, onError: (error: unknown) => void): HistoryFile {
  let isBroken = false;
  const attempt = <T>(work: () => T, otherwise: T): T => {
    if (isBroken) return otherwise;
    try {
      return work();
    } catch (error) {
      isBroken = true;
      onError(error);
      return otherwise;
    }
  };
  return {
    entries: attempt(() => read(file), []),
    append: (text) => {
      if (text.length > MAX_HISTORY_ENTRY_LENGTH) return;
      attempt(() => {
        mkdirSync(dirname(file), { recursive: true, mode: FOLDER_MODE });
        appendFileSync(file, `${JSON.stringify(text)}\n`, { mode: MODE });
      }, undefined);
    },
  };
}

function read(file: string): string[] {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  if (!stats.isFile() || stats.size > MAX_FILE_BYTES) throw new Error(`${file} is no history of Robson`);
  if ((stats.mode & 0o077) !== 0) chmodSync(file, MODE);
  const lines = readFileSync(file, "utf8").split("\n");
  const entries = lines.flatMap(parseEntry).slice(-MAX_HISTORY_ENTRIES);
  if (lines.length > 2 * MAX_HISTORY_ENTRIES) rewrite(file, entries);
  return entries;
}

/** By a rename, so that a crash leaves the old file or the new one. */
function rewrite(file: string, entries: string[]): void {
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""), { mode: MODE });
  renameSync(fresh, file);
}

function parseEntry(line: string): string[] {
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === "string" && entry !== "" ? [entry] : [];
  } catch {
    // Cut off by a crash, or written by someone else: one entry less.
    return [];
  }
}
