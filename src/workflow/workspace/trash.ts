/**
 * Removing folders that may be large, and that a program with other ideas has written: first they get a name that nobody
 * looks for, which is one step, then they are removed. A crash leaves a `trash-…` for whoever has the repository next.
 */
import { randomUUID } from "node:crypto";
import { chmod, lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { RepositoryPlaces } from "./places.ts";
import { isMissing } from "./record.ts";

const PREFIX = "trash-";

/** It is gone at once, its space when the trash is emptied. Nothing happens where there is no such folder. */
export async function throwAway({ folder }: RepositoryPlaces, unwanted: string): Promise<void> {
  const target = join(folder, `${PREFIX}${randomUUID()}`);
  try {
    await rename(unwanted, target);
  } catch (error) {
    if (isMissing(error)) return;
    if (!isDenied(error)) throw error;
    // A folder that its owner must not write to cannot be moved: the agent is free to make one.
    await chmod(unwanted, 0o700);
    await rename(unwanted, target);
  }
}

/** Safe at any time, and for several at once: what lies there is nobody's. */
export async function emptyTrash({ folder }: RepositoryPlaces): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (name.startsWith(PREFIX)) await removeTree(join(folder, name));
}

/** Like `rm -rf`, also where folders in it are closed, as those of package caches are. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!isDenied(error)) throw error;
    await openFolders(path);
    await rm(path, { recursive: true, force: true });
  }
}

/** Only folders that lie in it: a link is not followed. */
async function openFolders(path: string): Promise<void> {
  if (!(await lstat(path)).isDirectory()) return;
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await openFolders(join(path, entry.name));
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM");
}
