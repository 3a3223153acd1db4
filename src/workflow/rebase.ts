/**
 * The base may move on while the agent works. Before the push its commit is brought onto what the base is now, in Robson's
 * repository, without a checkout: either it fits, or the report says which files stand against it. A branch that is pushed
 * already is never rewritten. Safe to repeat: the same commits on the same base give the same commits again.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { askGit, type GitOptions, git, gitAnswer } from "./git.ts";
import { isAncestor, shaOf } from "./workspace/base.ts";
import { updateMirror } from "./workspace/mirror.ts";
import { readRecord, writeRecord } from "./workspace/record.ts";
import { named } from "./workspace/repository-kinds.ts";
import { type GitSettings, withRepository } from "./workspace/repository-lock.ts";
import { replacedRef, saveCommit } from "./workspace/saved-work.ts";
import { throwAway } from "./workspace/trash.ts";
import { inRunsOf, type PreparedWorkspace, saveWork } from "./workspace.ts";

export type RebaseResult =
  /** The commit is on the base as it is now, or pushed already: there is nothing to do. */
  | { kind: "current"; sha: string }
  /**
   * Its files are others now, to be checked again, on the workspace that this brings. The checkout is gone, saved before:
   * make it anew by `startBranch(workspace, branch, { files: sha })`.
   */
  | { kind: "rebased"; sha: string; tree: string; workspace: PreparedWorkspace }
  /** The commit is kept under refs/robson and named nowhere else: another run starts on the new base. */
  | { kind: "conflicts"; baseSha: string; files: string[]; report: string };

/** How many commits of a run are brought over. Not for the configuration: a run makes one for each round of fixing. */
const MAX_COMMITS = 100;

/** Fetches the base and brings the commit onto it. The local branch points at the result; what it was is kept under refs/robson. */
export async function rebaseOntoBase(
  workspace: PreparedWorkspace,
  { sha, branch }: { sha: string; branch: string },
  options: GitSettings,
): Promise<RebaseResult> {
  const { places, tryLock, base } = workspace;
  const inRuns = inRunsOf(workspace, options);
  const inMirror = { ...inRuns, repository: places.mirror };
  await withRepository({ places, tryLock }, options, () =>
    updateMirror(places, { filter: workspace.filter }, options),
  );
  const baseSha = await shaOf(`refs/heads/${base}`, inMirror);
  const isPushed = (await shaOf(`refs/heads/${branch}`, inMirror)) !== undefined;
  if (isPushed || baseSha === undefined || (await isAncestor(baseSha, { of: sha, options: inRuns })))
    return { kind: "current", sha };

  const commits = await commitsOf({ sha, baseSha: workspace.baseSha }, inRuns);
  const made = await adopted(workspace, { sha, branch, baseSha }, inRuns);
  const replayed = made === undefined ? await replay(commits, { onto: baseSha, inRuns }) : { sha: made };
  if ("files" in replayed) {
    // Another run of the task is to begin on the new base, not to find this commit and stand before the same conflict.
    await saveCommit(workspace, sha, inRuns);
    await git(["update-ref", "-d", `refs/heads/${branch}`], inRuns);
    return conflicts({ files: replayed.files, base, from: workspace.baseSha, baseSha }, inRuns);
  }
  await saveCommit(workspace, sha, inRuns);
  await git(["update-ref", `refs/heads/${branch}`, replayed.sha], inRuns);
  // Its files are on the former base: they must not be taken for a change of the new one.
  await saveWork(workspace, options);
  await throwAway(places, workspace.checkout);
  const record = await readRecord(places);
  if (record) await writeRecord(places, { ...record, baseSha });
  const tree = (await git(["rev-parse", `${replayed.sha}^{tree}`], inRuns)).trim();
  return { kind: "rebased", sha: replayed.sha, tree, workspace: { ...workspace, baseSha } };
}

/** What an earlier call made of this commit, before a crash kept its end from being stored. */
async function adopted(
  workspace: PreparedWorkspace,
  { sha, branch, baseSha }: { sha: string; branch: string; baseSha: string },
  inRuns: GitOptions,
): Promise<string | undefined> {
  const tip = await shaOf(`refs/heads/${branch}`, inRuns);
  if (tip === undefined || tip === sha) return undefined;
  const isReplaced = (await shaOf(replacedRef(workspace, sha), inRuns)) === sha;
  return isReplaced && (await isAncestor(baseSha, { of: tip, options: inRuns })) ? tip : undefined;
}

/** The run's commits, the oldest first. */
async function commitsOf(
  { sha, baseSha }: { sha: string; baseSha: string },
  inRuns: GitOptions,
): Promise<string[]> {
  const range = [
    "rev-list",
    "--reverse",
    "--first-parent",
    `--max-count=${MAX_COMMITS}`,
    `${baseSha}..${sha}`,
  ];
  return (await git([...range, "--"], inRuns)).split("\n").filter((line) => line !== "");
}

/** The commits on another base: the last of them, or the files that stand against one. */
async function replay(
  commits: readonly string[],
  { onto, inRuns }: { onto: string; inRuns: GitOptions },
): Promise<{ sha: string } | { files: string[] }> {
  let parent = onto;
  for (const commit of commits) {
    const merged = await mergeOnto({ commit, onto: parent }, inRuns);
    if ("files" in merged) return merged;
    parent = await commitAgain({ commit, tree: merged.tree, parent }, inRuns);
  }
  return { sha: parent };
}

/**
 * The tree of `onto` with what the commit changed. Commits with no history but one common parent stand in for both sides,
 * so that what is compared with is the commit's own parent, whatever history there is.
 */
async function mergeOnto(
  { commit, onto }: { commit: string; onto: string },
  inRuns: GitOptions,
): Promise<{ tree: string } | { files: string[] }> {
  const standIn = async (tree: string, parents: string[]) =>
    (await git(["commit-tree", tree, ...parents, "-m", "-"], inRuns)).trim();
  const parent = ["-p", await standIn(`${commit}^^{tree}`, [])];
  const ours = await standIn(`${onto}^{tree}`, parent);
  const theirs = await standIn(`${commit}^{tree}`, parent);
  const merge = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs];
  const { isYes: isClean, stdout } = await gitAnswer(merge, inRuns);
  const [tree = "", ...files] = stdout.split("\0").map((part) => part.trim());
  return isClean ? { tree } : { files: [...new Set(files.filter((file) => file !== ""))] };
}

/** The commit's message, author and dates on another tree: the same each time. */
async function commitAgain(
  { commit, tree, parent }: { commit: string; tree: string; parent: string },
  inRuns: GitOptions,
): Promise<string> {
  const shown = await git(["log", "-1", "--format=%ad%x00%cd%x00%B", "--date=raw", commit, "--"], inRuns);
  const [authored = "", committed = "", message = ""] = shown.split("\0");
  const environment = {
    ...inRuns.environment,
    GIT_AUTHOR_DATE: authored,
    GIT_COMMITTER_DATE: committed,
  };
  const messageFile = join(inRuns.directory, "message");
  await rm(messageFile, { recursive: true, force: true });
  await writeFile(messageFile, `${message.trimEnd()}\n`, { flag: "wx" });
  const again = ["commit-tree", tree, "-p", parent, "-F", messageFile];
  return (await git(again, { ...inRuns, environment })).trim();
}

interface Standstill {
  files: string[];
  base: string;
  from: string;
  baseSha: string;
}

async function conflicts(
  { files, base, from, baseSha }: Standstill,
  inRuns: GitOptions,
): Promise<RebaseResult> {
  const moved = (await askGit(["rev-list", "--count", `${from}..${baseSha}`, "--"], inRuns))?.trim();
  const commits = moved === undefined ? "" : ` by ${moved} ${moved === "1" ? "commit" : "commits"}`;
  const report = `The branch ${base} has moved on${commits} since the work began, and the change does not fit any more; changed on both sides: ${named(files)}`;
  return { kind: "conflicts", baseSha, files, report };
}
