/**
 * From the files of a checkout to a tree in Robson's own repository. The git that does it has its index and its
 * configuration outside of the checkout, so what the agent's git is set to, or has locked, does not matter.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { askGit, type GitOptions, git } from "../git.ts";

export interface Staging {
  checkout: string;
  /** A file outside of the checkout; what lies there is replaced. */
  indexFile: string;
  /** What the files are compared with; nothing where the checkout is no checkout of ours. */
  baseSha?: string;
}

/** How many nested repositories are looked into, and named. */
const MAX_NESTED = 20;
/** How much git may print about a change: an agent may make many files, and they are to be saved all the same. */
const MAX_LIST_BYTES = 256 * 1024 * 1024;

/** An empty or the base's index, and the options of a git that stages into it. */
export async function startStaging(
  { checkout, indexFile, baseSha }: Staging,
  inRuns: GitOptions,
): Promise<GitOptions> {
  for (const file of [indexFile, `${indexFile}.lock`]) await rm(file, { recursive: true, force: true });
  const environment = { ...inRuns.environment, GIT_INDEX_FILE: indexFile, GIT_WORK_TREE: checkout };
  const inIndex = { ...inRuns, directory: checkout, environment, maxOutputBytes: MAX_LIST_BYTES };
  await git(["read-tree", baseSha ?? "--empty"], inIndex);
  return inIndex;
}

/** The paths of repositories within the checkout that the base does not have so: git stages none of their files. */
export async function nestedRepositories(
  { baseSha }: Pick<Staging, "baseSha">,
  inIndex: GitOptions,
): Promise<string[]> {
  const [staged, unstaged] = [await stagedLinks(baseSha, inIndex), await unstagedRepositories(inIndex)];
  return [...new Set([...staged, ...unstaged])].slice(0, MAX_NESTED);
}

/**
 * The tree of all files as they are, those of nested repositories too. What cannot be read (a pipe in the place of a
 * file) is left out: it must not keep the rest from being saved.
 */
export async function stageWhatCanBe(staging: Staging, inRuns: GitOptions): Promise<string> {
  const inIndex = await startStaging(staging, inRuns);
  // It ends with 1 where it had to leave something out.
  await askGit(["add", "--all", "--ignore-errors", "--", "."], inIndex);
  for (const path of await nestedRepositories(staging, inIndex)) {
    const inner = { checkout: join(staging.checkout, path), indexFile: `${staging.indexFile}-nested` };
    const tree = await stageWhatCanBe(inner, inRuns);
    await askGit(["rm", "--quiet", "--cached", "-r", "--ignore-unmatch", "--", path], inIndex);
    await git(["read-tree", `--prefix=${path}/`, tree], inIndex);
  }
  return (await git(["write-tree"], inIndex)).trim();
}

/** Links to commits of other repositories that are new in the index, or lead to another commit than in the base. */
async function stagedLinks(baseSha: string | undefined, inIndex: GitOptions): Promise<string[]> {
  if (baseSha === undefined) {
    const listed = await git(["ls-files", "-z", "--stage"], inIndex);
    return listed.split("\0").flatMap((line) => /^160000 \w+ \d\t(.*)$/s.exec(line)?.[1] ?? []);
  }
  const raw = await git(["diff-index", "--cached", "--raw", "-z", "--no-renames", baseSha, "--"], inIndex);
  const parts = raw.split("\0");
  const paths: string[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    if (/^:\d+ 160000 /.test(parts[at] ?? "")) paths.push(parts[at + 1] ?? "");
  }
  return paths;
}

/** Those without a commit: git refuses to stage them, and lists them with a slash. */
async function unstagedRepositories(inIndex: GitOptions): Promise<string[]> {
  const others = await git(["ls-files", "-z", "--others", "--exclude-standard"], inIndex);
  return others
    .split("\0")
    .filter((path) => path.endsWith("/"))
    .map((path) => path.slice(0, -1));
}
