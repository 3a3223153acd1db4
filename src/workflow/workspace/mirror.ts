/**
 * The mirror of a repository: what its server has, fetched once and then only what is new. Called under the
 * repository's lock. A mirror appears by renaming; a fetch that is cut off leaves packs that nothing refers to.
 */
import { rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { askGit, git } from "../git.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import type { RepositoryPlaces } from "./places.ts";
import { type GitSettings, type InRepository, underLock } from "./repository-lock.ts";
import { removeTree, throwAway } from "./trash.ts";

export interface MirrorState {
  /** Undefined where the server names none. */
  defaultBranch?: string;
  /** What it was when this mirror was fetched before, where that has changed. */
  formerDefaultBranch?: string;
}

/** What is left out of a mirror until it is needed, as git says it: `blob:none`. */
export interface MirrorOptions {
  filter?: string | undefined;
}

/** From so many packs on they are put together: each fetch may bring one. */
const MAX_PACKS = 50;

/** Makes the mirror, or brings it up to date. */
export async function updateMirror(
  places: RepositoryPlaces,
  { filter }: MirrorOptions,
  options: GitSettings,
): Promise<MirrorState> {
  const { limits = DEFAULT_WORKFLOW_LIMITS } = options;
  const timeout = { ms: limits.fetchTimeoutMs, limit: "fetchTimeoutMs" as const };
  const inMirror = { ...underLock(places, places.mirror, options), timeout };
  if (!(await isMirrorOf(places, inMirror))) {
    await throwAway(places, places.mirror);
    await cloneMirror(places, { filter, options: inMirror });
    await noteUse(places);
    const defaultBranch = await headOf(inMirror);
    return defaultBranch === undefined ? {} : { defaultBranch };
  }
  await fetchMirror({ filter, options: inMirror });
  const state = await followHead(places, inMirror);
  await noteUse(places);
  await putPacksTogether(places, inMirror);
  return state;
}

/** Has a commit in the mirror that no branch shows, as a submodule's may be. `GIT_FAILED` where the server refuses. */
export async function fetchCommit(
  places: RepositoryPlaces,
  sha: string,
  options: GitSettings,
): Promise<void> {
  const inMirror = underLock(places, places.mirror, options);
  if ((await askGit(["cat-file", "-e", `${sha}^{commit}`], inMirror)) !== undefined) return;
  await git(["fetch", "--quiet", "--no-write-fetch-head", "--", "origin", sha], inMirror);
}

/** The repository of what runs make: it borrows the mirror's objects, and agents borrow nothing of it. */
export async function ensureRunsRepository(places: RepositoryPlaces, options: GitSettings): Promise<void> {
  const inMirror = underLock(places, places.mirror, options);
  const inRuns = underLock(places, places.runs, options);
  if (!(await isThere(join(places.runs, "HEAD")))) {
    const fresh = join(places.folder, "fresh.git");
    await removeTree(fresh);
    const format = (await git(["rev-parse", "--show-object-format"], inMirror)).trim();
    const init = [
      "init",
      "--quiet",
      "--bare",
      "--template=",
      "--initial-branch=none",
      `--object-format=${format}`,
    ];
    await git([...init, "--", fresh], { ...inRuns, repository: fresh });
    await writeFile(join(fresh, "objects", "info", "alternates"), "../../mirror.git/objects\n");
    await rename(fresh, places.runs);
  }
  const filter = await filterOf(inMirror);
  if ((await filterOf(inRuns)) === filter) return;
  // Objects that the mirror leaves out are fetched where they are missed.
  if (filter === undefined) await forgetFilter(inRuns);
  else await setFilter(filter, inRuns);
}

/** When the mirror was last brought up to date; undefined where there is none. */
export async function lastUse({ folder }: RepositoryPlaces): Promise<number | undefined> {
  const found = await stat(join(folder, "used")).catch(() => undefined);
  return found?.mtimeMs;
}

async function isMirrorOf({ repoUrl, mirror }: RepositoryPlaces, options: InRepository): Promise<boolean> {
  if (!(await isThere(join(mirror, "HEAD")))) return false;
  return (await askGit(["config", "--get", "remote.origin.url"], options))?.trim() === repoUrl;
}

async function cloneMirror(
  places: RepositoryPlaces,
  { filter, options }: { filter: string | undefined; options: InRepository },
): Promise<void> {
  const fresh = join(places.folder, "fresh.git");
  await removeTree(fresh);
  const { repository: _, ...elsewhere } = options;
  const partial = filter === undefined ? [] : [`--filter=${filter}`];
  const clone = ["clone", "--quiet", "--bare", "--template=", ...partial];
  await git([...clone, "--", places.repoUrl, fresh], elsewhere);
  await rename(fresh, places.mirror);
}

async function fetchMirror({
  filter,
  options,
}: {
  filter: string | undefined;
  options: InRepository;
}): Promise<void> {
  const heads = "+refs/heads/*:refs/heads/*";
  const fetch = ["fetch", "--quiet", "--prune", "--no-write-fetch-head"];
  const former = await filterOf(options);
  if (former !== undefined && filter === undefined) {
    // Said to be partial until all of it is there: a crash in between fetches once more.
    await git([...fetch, "--refetch", "--no-filter", "--", "origin", heads], options);
    await forgetFilter(options);
    return;
  }
  if (filter !== undefined && filter !== former) await setFilter(filter, options);
  await git([...fetch, "--", "origin", heads], options);
}

/** The server's default branch may become another one. */
async function followHead({ repoUrl }: RepositoryPlaces, options: InRepository): Promise<MirrorState> {
  const former = await headOf(options);
  const listed = await git(["ls-remote", "--symref", "--", repoUrl, "HEAD"], options);
  const defaultBranch = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(listed)?.[1];
  if (defaultBranch === undefined) return {};
  if (defaultBranch === former) return { defaultBranch };
  await git(["symbolic-ref", "HEAD", `refs/heads/${defaultBranch}`], options);
  return { defaultBranch, ...(former === undefined ? {} : { formerDefaultBranch: former }) };
}

async function headOf(options: InRepository): Promise<string | undefined> {
  return (await askGit(["symbolic-ref", "--quiet", "HEAD"], options))?.trim().slice("refs/heads/".length);
}

async function filterOf(options: InRepository): Promise<string | undefined> {
  return (await askGit(["config", "--get", "remote.origin.partialclonefilter"], options))?.trim();
}

async function setFilter(filter: string, options: InRepository): Promise<void> {
  await git(["config", "remote.origin.url", options.remoteUrl], options);
  await git(["config", "remote.origin.promisor", "true"], options);
  await git(["config", "remote.origin.partialclonefilter", filter], options);
}

async function forgetFilter(options: InRepository): Promise<void> {
  // The filter goes last: it is what a run after a crash looks at.
  await git(["config", "remote.origin.promisor", "false"], options);
  await git(["config", "--unset", "remote.origin.partialclonefilter"], options);
}

/** Nothing is left out: agents and runs may need what no branch shows any more. */
async function putPacksTogether({ mirror }: RepositoryPlaces, options: InRepository): Promise<void> {
  const counted = await git(["count-objects", "-v"], options);
  const packs = Number(/^packs: (\d+)$/m.exec(counted)?.[1] ?? 0);
  const loose = Number(/^count: (\d+)$/m.exec(counted)?.[1] ?? 0);
  if (packs <= MAX_PACKS && loose <= MAX_PACKS * 100) return;
  await git(["pack-refs", "--all", "--prune"], { ...options, repository: mirror });
  await git(["repack", "-a", "-d", "-k", "-l", "-q"], { ...options, repository: mirror });
}

async function noteUse({ folder }: RepositoryPlaces): Promise<void> {
  const file = join(folder, "used");
  await writeFile(file, "");
  await utimes(file, new Date(), new Date());
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
