/**
 * One process at a time changes what belongs to a repository. Whoever gets the lock first clears away what one that
 * was killed has left: its git, which lives on, the locks of that git, and what was on its way out.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type TryLock, withLock } from "../file-lock.ts";
import type { GitOptions } from "../git.ts";
import { endLeftovers, WORKSPACE_VARIABLE } from "../leftovers.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import { withoutCredentials } from "../repository-url.ts";
import type { RepositoryPlaces } from "./places.ts";
import { emptyTrash } from "./trash.ts";

/** What the work on a repository needs besides its places. */
export interface RepositoryAccess {
  places: RepositoryPlaces;
  tryLock: TryLock;
}

export type GitSettings = Omit<
  GitOptions,
  "directory" | "repository" | "remoteUrl" | "environment" | "timeout"
>;

/** Runs `work` while no other process changes the repository. A crash leaves nothing that the next one trips over. */
export async function withRepository<T>(
  { places, tryLock }: RepositoryAccess,
  { signal, limits = DEFAULT_WORKFLOW_LIMITS }: GitSettings,
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(places.lock), { recursive: true, mode: 0o700 });
  const what = `repository ${withoutCredentials(places.repoUrl)}`;
  return withLock(places.lock, { tryLock, what, maxWaitMs: limits.maxLockWaitMs, signal }, async () => {
    await mkdir(places.folder, { recursive: true, mode: 0o700 });
    await endLeftovers(places.folder);
    await removeStaleLocks(places);
    await emptyTrash(places);
    return work();
  });
}

/** Options of a git that works in one of Robson's repositories, and may talk to its server. */
export type InRepository = GitOptions & { repository: string; remoteUrl: string };

/** One that works under the repository's lock: the next who gets the lock ends it, should it live on. */
export function underLock(places: RepositoryPlaces, repository: string, options: GitSettings): InRepository {
  return forWorkspace({ own: places.folder, repository, repoUrl: places.repoUrl }, options);
}

/** One that works for a workspace, without the lock: the next who claims the workspace ends it. */
export function forWorkspace(
  { own, repository, repoUrl }: { own: string; repository: string; repoUrl: string },
  options: GitSettings,
): InRepository {
  const environment = { [WORKSPACE_VARIABLE]: own };
  return { ...options, directory: own, repository, remoteUrl: repoUrl, environment };
}

/** Nothing of the mirror is written without the lock; of `runs.git`, only single refs are (see `claim.ts`). */
async function removeStaleLocks({ mirror, runs }: RepositoryPlaces): Promise<void> {
  await removeLocks(join(mirror, "refs"), { isDeep: true });
  for (const folder of [mirror, runs]) await removeLocks(folder, { isDeep: false });
}

/** Removes git's lock files; no ref and no file of a repository ends so. */
export async function removeLocks(folder: string, { isDeep }: { isDeep: boolean }): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isFile() && entry.name.endsWith(".lock")) await rm(path, { force: true });
    if (isDeep && entry.isDirectory()) await removeLocks(path, { isDeep });
  }
}
