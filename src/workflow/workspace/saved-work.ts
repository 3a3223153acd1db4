/**
 * Nothing that a run made is deleted before it is kept: the files of a checkout, committed or not, become a commit under
 * `refs/robson/<key>/<run>/` of the repository of runs. Files that the project ignores are not work, and are not kept.
 */
import { join } from "node:path";
import { preview } from "../../core/text.ts";
import { askGit, type GitOptions, git } from "../git.ts";
import { type Base, shaOf } from "./base.ts";
import { stageWhatCanBe } from "./staging.ts";

const BASE_TRAILER = "Robson-Base";

export interface SavedWork {
  ref: string;
  sha: string;
}

/** What is to be saved: a checkout with the commit that it was made from. */
export interface UnsavedWork {
  key: string;
  runId: string;
  branch: string;
  base: string;
  baseSha: string;
  checkout: string;
  /** Robson's folder for it. */
  own: string;
}

/** Where a run's uncommitted files are kept. */
export function workRef({ key, runId }: Pick<UnsavedWork, "key" | "runId">): string {
  return `refs/robson/${key}/${runId}/work`;
}

/** Where a commit of a run is kept that another one has taken the place of. */
export function replacedRef({ key, runId }: Pick<UnsavedWork, "key" | "runId">, sha: string): string {
  return `refs/robson/${key}/${runId}/replaced/${sha.slice(0, 12)}`;
}

/**
 * Keeps the files of a checkout as a commit on their base, unless they are kept already. What was kept of the run before is
 * the commit's second parent. Files as the base has them are not kept, nor, where `isOver` says that the run is done, those
 * that are on its branch. Safe to repeat: a crash leaves objects that nothing refers to.
 */
export async function saveFiles(
  work: UnsavedWork,
  inRuns: GitOptions,
  { isOver = false }: { isOver?: boolean } = {},
): Promise<SavedWork | undefined> {
  const { checkout, base, baseSha } = work;
  const ref = workRef(work);
  const tree = await stageWhatCanBe({ checkout, indexFile: join(work.own, "saving"), baseSha }, inRuns);
  const former = await shaOf(ref, inRuns);
  const known = former === undefined ? [baseSha] : [];
  const pushed = isOver ? await shaOf(`refs/heads/${work.branch}`, inRuns) : undefined;
  for (const commit of [...known, ...(pushed === undefined ? [] : [pushed])]) {
    if ((await treeOf(commit, inRuns)) === tree)
      return former === undefined ? undefined : { ref, sha: former };
  }
  if (former !== undefined && (await treeOf(former, inRuns)) === tree) {
    if ((await shaOf(`${former}^1`, inRuns)) === baseSha) return { ref, sha: former };
  }
  const title = `Saved files of ${work.key}, run ${work.runId}`;
  const message = `${title}\n\nNot checked, and not meant to be merged.\n\n${BASE_TRAILER}: ${base}`;
  const parents = ["-p", baseSha, ...(former === undefined ? [] : ["-p", former])];
  const sha = (await git(["commit-tree", tree, ...parents, "-m", message], inRuns)).trim();
  await git(["update-ref", ref, sha], inRuns);
  return { ref, sha };
}

/** What is kept of a run's files, with the base that they were made on: only on that one are they a change of the run's. */
export async function findSavedFiles(
  run: Pick<UnsavedWork, "key" | "runId">,
  inRuns: GitOptions,
): Promise<(SavedWork & Base) | undefined> {
  const ref = workRef(run);
  const sha = await shaOf(ref, inRuns);
  const baseSha = sha && (await shaOf(`${sha}^1`, inRuns));
  if (!sha || !baseSha) return undefined;
  const message = await git(["log", "-1", "--format=%B", sha, "--"], inRuns);
  const base = new RegExp(`^${BASE_TRAILER}: (.+)$`, "m").exec(message)?.[1];
  return base === undefined ? undefined : { ref, sha, base, baseSha };
}

/** Keeps a commit that is about to be replaced by another one. */
export async function saveCommit(
  { key, runId }: Pick<UnsavedWork, "key" | "runId">,
  sha: string,
  inRuns: GitOptions,
): Promise<SavedWork> {
  const ref = replacedRef({ key, runId }, sha);
  await git(["update-ref", ref, sha], inRuns);
  return { ref, sha };
}

export interface ListedRef extends SavedWork {
  /** When its commit was made. */
  savedAt: number;
}

/** All that is kept in the repository of runs: branches that Robson made, and saved work. */
export async function listRefs(inRuns: GitOptions): Promise<ListedRef[]> {
  const format = "--format=%(refname) %(objectname) %(committerdate:unix)";
  const listed = await askGit(["for-each-ref", format, "refs/heads", "refs/robson"], inRuns);
  return (listed ?? "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [ref = "", sha = "", seconds = "0"] = line.split(" ");
      return { ref, sha, savedAt: Number(seconds) * 1000 };
    });
}

/** A ref as people know it. */
export function shownRef(ref: string): string {
  return preview(ref.replace(/^refs\/heads\//, ""), 120);
}

async function treeOf(commit: string, inRuns: GitOptions): Promise<string> {
  return (await git(["rev-parse", `${commit}^{tree}`], inRuns)).trim();
}
