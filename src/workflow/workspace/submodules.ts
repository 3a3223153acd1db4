/**
 * Submodules: each has a mirror of its own, and its files are put into the checkout without a git. Their addresses stand
 * in a file of the repository, written by a stranger, so each is checked as a task's would be before git sees it. What
 * the agent changes in them is no part of the repository's commit, and refused as such.
 */
import { lstat, realpath } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, WorkerError } from "../../core/errors.ts";
import { askGit, type GitOptions, git, gitAnswer } from "../git.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import { checkResolvedHost, type Lookup } from "../repository-host.ts";
import { checkRepositoryUrl, type UrlRules } from "../repository-url.ts";
import { writeSubmodule } from "./checkout.ts";
import { fetchCommit, updateMirror } from "./mirror.ts";
import { repositoryPlaces } from "./places.ts";
import { forWorkspace, type GitSettings, type RepositoryAccess, withRepository } from "./repository-lock.ts";
import { startStaging } from "./staging.ts";

/** How a repository's submodules are treated: fetched with it, or left as the empty folders that git makes of them. */
export type SubmoduleRule = "fetch" | "leave";

export interface SubmoduleRules extends UrlRules {
  lookup?: Lookup | undefined;
}

export interface Submodule {
  /** In the folder of the checkout. */
  path: string;
  url: string;
  sha: string;
}

export interface SubmoduleWork {
  workDirectory: string;
  tryLock: RepositoryAccess["tryLock"];
  rules: SubmoduleRules;
  /** Robson's folder for the workspace. */
  own: string;
  options: GitSettings;
}

interface SubmodulesOf {
  repoUrl: string;
  sha: string;
  inRepository: GitOptions;
}

/** Writes the files of a commit's submodules, and of theirs, into the folder. */
export async function writeSubmodules(
  commit: SubmodulesOf & { folder: string },
  work: SubmoduleWork,
): Promise<void> {
  await visit(commit, work, async ({ path, url, sha }, parent) => {
    // Files of a run may have something else in its place.
    if (!(await isWithin(commit.folder, path))) return;
    await checkUrl({ path, url, parent, root: commit.repoUrl, rules: work.rules });
    await writeOne({ folder: join(commit.folder, path), path, url, sha, root: commit.repoUrl }, work);
  });
}

/** A commit's submodules, and theirs, as `writeSubmodules` has written them. */
export async function submodulesIn(commit: SubmodulesOf, work: SubmoduleWork): Promise<Submodule[]> {
  const found: Submodule[] = [];
  await visit(commit, work, async (submodule) => void found.push(submodule));
  return found;
}

/** The paths of those whose files are no longer as they were written. */
export async function changedSubmodules(
  { checkout, submodules }: { checkout: string; submodules: readonly Submodule[] },
  work: SubmoduleWork,
): Promise<string[]> {
  const changed: string[] = [];
  for (const { path, url, sha } of submodules) {
    // One that is gone, or no folder any more, shows in the change of the repository itself.
    if (!(await isWithin(checkout, path))) continue;
    const folder = join(checkout, path);
    const inMirror = mirrorOf(url, work);
    const staging = { checkout: folder, indexFile: join(work.own, "submodule"), baseSha: sha };
    if (await isChanged(await startStaging(staging, inMirror))) changed.push(path);
  }
  return changed;
}

/** Only looked at: nothing of it is written into the mirror, which others read. */
async function isChanged(inIndex: GitOptions): Promise<boolean> {
  // An index that was just read knows no file's size and time, so all of them seem to differ.
  await gitAnswer(["update-index", "-q", "--refresh"], inIndex);
  const differing = await git(["diff-files", "--name-only", "-z", "--ignore-submodules=all"], inIndex);
  if (differing !== "") return true;
  return (await git(["ls-files", "-z", "--others", "--exclude-standard"], inIndex)) !== "";
}

type Visitor = (submodule: Submodule, parent: string) => Promise<void>;

/** Calls the visitor for each, before those within it are looked for. */
async function visit(commit: SubmodulesOf, work: SubmoduleWork, visitor: Visitor): Promise<void> {
  const { limits = DEFAULT_WORKFLOW_LIMITS } = work.options;
  let count = 0;
  const open = [{ ...commit, prefix: "" }];
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    for (const found of await submodulesOf(next.sha, next.inRepository)) {
      count += 1;
      if (count > limits.maxSubmodules) throw tooMany(commit.repoUrl, limits.maxSubmodules);
      const path = join(next.prefix, found.path);
      const url = resolveUrl(next.repoUrl, found.url);
      await visitor({ path, url, sha: found.sha }, next.repoUrl);
      open.push({ repoUrl: url, sha: found.sha, inRepository: mirrorOf(url, work), prefix: path });
    }
  }
}

/** What `.gitmodules` of the commit declares, as far as the commit has it. */
async function submodulesOf(sha: string, options: GitOptions): Promise<Submodule[]> {
  const pattern = "^submodule\\..*\\.(path|url)$";
  const listed = await askGit(
    ["config", "--blob", `${sha}:.gitmodules`, "-z", "--get-regexp", pattern],
    options,
  );
  const modules = new Map<string, { path?: string; url?: string }>();
  for (const entry of (listed ?? "").split("\0")) {
    const [, name, field, value] = /^submodule\.(.*)\.(path|url)\n(.*)$/s.exec(entry) ?? [];
    if (name !== undefined && field !== undefined)
      modules.set(name, { ...modules.get(name), [field]: value });
  }
  const found: Submodule[] = [];
  for (const { path, url } of modules.values()) {
    if (path === undefined || url === undefined) continue;
    const entry = await git(["ls-tree", "-z", sha, "--", path], options);
    const commit = /^160000 commit (\w+)\t/.exec(entry)?.[1];
    if (commit !== undefined) found.push({ path, url, sha: commit });
  }
  return found;
}

interface CheckedUrl {
  path: string;
  url: string;
  parent: string;
  root: string;
  rules: SubmoduleRules;
}

async function checkUrl({ path, url, parent, root, rules }: CheckedUrl): Promise<void> {
  try {
    // Files of this machine only where the repository itself is one of them.
    const allowFileUrls = rules.allowFileUrls === true || parent.startsWith("file:");
    const checked = checkRepositoryUrl(url, { ...rules, allowFileUrls });
    await checkResolvedHost(checked, { allowed: rules.allowedHosts, lookup: rules.lookup });
  } catch (cause) {
    throw unusable({ root, path, cause });
  }
}

/** As git does: `./` and `../` count from the address of the repository. */
function resolveUrl(parent: string, url: string): string {
  if (!/^\.\.?\//.test(url)) return url;
  let base = parent.replace(/\/+$/, "");
  let rest = url;
  let separator = "/";
  for (;;) {
    if (rest.startsWith("./")) rest = rest.slice(2);
    else if (rest.startsWith("../")) {
      rest = rest.slice(3);
      const at = Math.max(base.lastIndexOf("/"), base.lastIndexOf(":"));
      separator = base[at] ?? "/";
      base = base.slice(0, Math.max(0, at));
    } else return `${base}${separator}${rest}`;
  }
}

interface OneSubmodule {
  folder: string;
  path: string;
  url: string;
  sha: string;
  root: string;
}

async function writeOne({ folder, path, url, sha, root }: OneSubmodule, work: SubmoduleWork): Promise<void> {
  const places = repositoryPlaces(work.workDirectory, url);
  const { options, tryLock, own } = work;
  try {
    await withRepository({ places, tryLock }, options, async () => {
      await updateMirror(places, {}, options);
      await fetchCommit(places, sha, options);
    });
    await writeSubmodule({ folder, own, sha }, mirrorOf(url, work));
  } catch (cause) {
    options.signal.throwIfAborted();
    throw unusable({ root, path, cause });
  }
}

function mirrorOf(repoUrl: string, { workDirectory, own, options }: SubmoduleWork): GitOptions {
  const { mirror } = repositoryPlaces(workDirectory, repoUrl);
  return forWorkspace({ own, repository: mirror, repoUrl }, options);
}

/** Whether the path is a folder within the checkout: an agent may put a link on the way there that leads anywhere. */
async function isWithin(checkout: string, path: string): Promise<boolean> {
  try {
    const [real, root] = [await realpath(join(checkout, path)), await realpath(checkout)];
    return real === join(root, path) && (await lstat(real)).isDirectory();
  } catch {
    // Gone, or no folder on the way.
    return false;
  }
}

const HINT =
  'Where no task needs its submodules, set submodules = "leave" for it in [[repositories]] of robson.toml';

function unusable({ root, path, cause }: { root: string; path: string; cause: unknown }): WorkerError {
  const message = `Cannot work in repository ${root}: its submodule "${path}" cannot be fetched: ${messageOf(cause)}`;
  const retry = cause instanceof WorkerError ? cause.retry : "never";
  return new WorkerError(message, { code: "REPOSITORY_INVALID", retry, hint: HINT, cause });
}

function tooMany(repoUrl: string, max: number): WorkerError {
  return new WorkerError(
    `Cannot work in repository ${repoUrl}: it has more submodules than maxSubmodules (${max})`,
    {
      code: "REPOSITORY_INVALID",
      retry: "never",
      hint: `Raise workflow.limits.max_submodules in robson.toml. ${HINT}`,
    },
  );
}
