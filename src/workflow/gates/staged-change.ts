/**
 * What a staged tree changes on the base: read from Robson's own clone, so that nothing of the checkout (a pipe, a
 * link, attributes that call a text binary) stands between the gates and what would be pushed. Reads only; the same
 * tree gives the same change.
 */
import { hasCode, WorkerError } from "../../core/errors.ts";
import { byteLength } from "../../core/text.ts";
import { type GitOptions, git } from "../git.ts";
import { type AddedBlock, type FileDiff, readFileDiffs } from "./added-lines.ts";

export interface ChangedFile {
  /** From the top of the repository on. Bytes that are no UTF-8 are shown as U+FFFD. */
  path: string;
  kind: "added" | "changed" | "deleted";
  /** As git writes it: 100644, 100755 (executable), 120000 (link), 160000 (submodule), 000000 (no file). */
  oldMode: string;
  mode: string;
  /** The size of what is there after the change. */
  bytes: number;
  addedLines: number;
  removedLines: number;
  isBinary: boolean;
  /** The lines that the change adds; the target, where it is a link. */
  added: AddedBlock[];
  /** False when it is too large, or its name cannot be given to git: then `added` is empty. */
  isRead: boolean;
}

export interface StagedChange {
  /** The tree's id: the same one is the same change of a base. */
  tree: string;
  files: ChangedFile[];
}

/** Git in Robson's repository of what runs make: `inRunsOf(workspace, …)`. */
export type InRobsonsRepository = GitOptions & { repository: string };

/** Of a file that is larger, before and after taken together, no lines are read. */
const MAX_READ_FILE_BYTES = 6 * 1024 * 1024;
/** How much one call of git is asked for. */
const MAX_BATCH_BYTES = 3 * 1024 * 1024;
const MAX_BATCH_FILES = 200;
/** The paths of one call; systems take 128 KiB and more. */
const MAX_BATCH_ARGUMENT_BYTES = 64 * 1024;
/** Of a change with more files or bytes only the first are read; the size gate speaks long before. */
const MAX_READ_FILES = 20_000;
const MAX_READ_BYTES = 64 * 1024 * 1024;

/** What the staged `tree` changes on the base commit. */
export async function readStagedChange(
  { baseSha, tree }: { baseSha: string; tree: string },
  inRepository: InRobsonsRepository,
): Promise<StagedChange> {
  // A path is a path: `*` or `:(top)` in a file's name means nothing else.
  const environment = { ...inRepository.environment, GIT_LITERAL_PATHSPECS: "1" };
  const reader: Reader = {
    base: baseSha,
    tree,
    git: (args) => git(args, { ...inRepository, environment }),
  };
  const files = await listFiles(reader);
  await countDeleted(reader, files);
  // What is deleted is never asked for by its path: where a folder took its place, that path means the folder, too.
  const nameable = files
    .slice(0, MAX_READ_FILES)
    .filter(({ path, kind }) => kind !== "deleted" && canBeNamed(path));
  for (const batch of batches(nameable, () => 0)) await readSizes(reader, batch);
  let room = MAX_READ_BYTES;
  const readable = nameable.filter((file) => {
    const weight = file.bytes + file.oldBytes;
    if (weight > Math.min(MAX_READ_FILE_BYTES, room)) return false;
    room -= weight;
    return true;
  });
  for (const batch of batches(readable, (file) => file.bytes + file.oldBytes)) await readBatch(reader, batch);
  return { tree, files: files.map(({ oldBytes: _, ...file }) => file) };
}

interface Reader {
  base: string;
  tree: string;
  git(args: string[]): Promise<string>;
}

interface ListedFile extends ChangedFile {
  oldBytes: number;
}

async function listFiles({ base, tree, git }: Reader): Promise<ListedFile[]> {
  const listed = await git(["diff-tree", "-r", "-z", "--raw", "--no-renames", base, tree]);
  const parts = listed.split("\0").slice(0, -1);
  const files: ListedFile[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [, oldMode, mode] = /^:(\d{6}) (\d{6}) /.exec(parts[at] ?? "") ?? [];
    const path = parts[at + 1];
    if (oldMode === undefined || mode === undefined || path === undefined) throw unreadable(parts[at] ?? "");
    const kind = mode === "000000" ? "deleted" : oldMode === "000000" ? "added" : "changed";
    const nothing = { bytes: 0, oldBytes: 0, addedLines: 0, removedLines: 0, added: [] };
    files.push({ path, kind, oldMode, mode, isBinary: false, isRead: false, ...nothing });
  }
  return files;
}

async function countDeleted({ base, tree, git }: Reader, files: ListedFile[]): Promise<void> {
  const deleted = files.filter(({ kind }) => kind === "deleted");
  if (deleted.length === 0) return;
  const numstat = ["-z", "--numstat", "--diff-filter=D", "--no-ext-diff", "--no-textconv"];
  const listed = await git(["diff-tree", "-r", "--no-renames", ...numstat, base, tree]);
  const counts = new Map(
    listed.split("\0").flatMap((entry): [string, number][] => {
      const [, removed, path] = /^\d+\t(\d+)\t(.*)$/s.exec(entry) ?? [];
      return path === undefined ? [] : [[path, Number(removed)]];
    }),
  );
  for (const file of deleted) {
    file.removedLines = counts.get(file.path) ?? 0;
    file.isRead = true;
  }
}

function canBeNamed(path: string): boolean {
  return !path.includes("\u{FFFD}") && byteLength(path) < MAX_BATCH_ARGUMENT_BYTES;
}

async function readSizes({ base, tree, git }: Reader, files: ListedFile[]): Promise<void> {
  const paths = files.map(({ path }) => path);
  const after = sizesOf(await git(["ls-tree", "-z", "--long", "--full-tree", tree, "--", ...paths]));
  const before = sizesOf(await git(["ls-tree", "-z", "--long", "--full-tree", base, "--", ...paths]));
  for (const file of files) {
    file.bytes = after.get(file.path) ?? 0;
    file.oldBytes = before.get(file.path) ?? 0;
  }
}

function sizesOf(listed: string): Map<string, number> {
  const entries = listed.split("\0").flatMap((entry): [string, number][] => {
    const [, bytes, path] = /^\d+ \w+ \w+ +(\d+)\t(.*)$/s.exec(entry) ?? [];
    return path === undefined ? [] : [[path, Number(bytes)]];
  });
  return new Map(entries);
}

/** A diff may be much larger than its files, where every second one of very short lines is changed. */
async function readBatch(reader: Reader, files: ListedFile[]): Promise<void> {
  try {
    await readLines(reader, files);
  } catch (error) {
    if (!hasCode(error, "GIT_FAILED") || !error.message.includes("MAX_GIT_OUTPUT_BYTES")) throw error;
    if (files.length === 1) return;
    const half = Math.ceil(files.length / 2);
    await readBatch(reader, files.slice(0, half));
    await readBatch(reader, files.slice(half));
  }
}

const PATCH = ["-p", "-U0", "--text", "--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short"];

async function readLines({ base, tree, git }: Reader, files: ListedFile[]): Promise<void> {
  const paths = files.map(({ path }) => path);
  const patch = ["diff-tree", "-r", "--no-renames", "--diff-filter=d", ...PATCH, base, tree];
  const diffs = readFileDiffs(await git([...patch, "--", ...paths]));
  for (const file of files) {
    // Where a file became a link or the other way round, git writes one diff for what went and one for what came.
    const parts = diffs.splice(0, isTypeChange(file) ? 2 : 1);
    if (parts.length === 0) throw unreadable(`the diff of ${JSON.stringify(file.path)} is missing`);
    Object.assign(file, asRead(parts));
  }
  if (diffs.length > 0) throw unreadable(`it has ${diffs.length} more files than were listed`);
}

function asRead(parts: FileDiff[]): Partial<ListedFile> {
  const added = parts.flatMap((part) => part.added);
  return {
    added,
    addedLines: sum(parts.map(({ addedLines }) => addedLines)),
    removedLines: sum(parts.map(({ removedLines }) => removedLines)),
    isBinary: added.some(({ text }) => text.includes("\0") || isMostlyUndecodable(text)),
    isRead: true,
  };
}

/** U+FFFD stands for what is no UTF-8. Texts in older encodings have some of it, compiled files much. */
function isMostlyUndecodable(text: string): boolean {
  const undecodable = text.split("\u{FFFD}").length - 1;
  return undecodable > 10 && undecodable * 5 > text.length;
}

function isTypeChange({ oldMode, mode, kind }: ChangedFile): boolean {
  return kind === "changed" && oldMode.slice(0, 3) !== mode.slice(0, 3);
}

/** In their order, each part small enough for one call of git. */
function batches(files: ListedFile[], weigh: (file: ListedFile) => number): ListedFile[][] {
  const found: ListedFile[][] = [];
  let room = { bytes: 0, argumentBytes: 0, files: 0 };
  for (const file of files) {
    const bytes = weigh(file);
    const argumentBytes = byteLength(file.path) + 1;
    if (bytes > room.bytes || argumentBytes > room.argumentBytes || room.files === 0) {
      found.push([]);
      room = { bytes: MAX_BATCH_BYTES, argumentBytes: MAX_BATCH_ARGUMENT_BYTES, files: MAX_BATCH_FILES };
    }
    found.at(-1)?.push(file);
    room.bytes -= bytes;
    room.argumentBytes -= argumentBytes;
    room.files -= 1;
  }
  return found;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function unreadable(why: string): WorkerError {
  return new WorkerError(`Cannot read what the change does: git answered with something else: ${why}`, {
    code: "GIT_FAILED",
    retry: "later",
    hint: "Check that git is of version 2.30 or newer",
  });
}
