/**
 * Nothing that a run made is deleted before it is kept: the files of a checkout, committed or not, become a commit under
 * `refs/robson/<key>/<run>/` of the repository of runs. Files that the project ignores are not work, and are not kept.
 */
import { join } from "node:path";
import { preview } from "../../core/text.ts";
import { askGit, type GitOptions, git } from "../git.ts";
import { shaOf } from "./base.ts";
import { stageWhatCanBe } from "./staging.ts";

export interface SavedWork {
  ref: string;
  sha: string;
}

/** What is to be saved: a checkout with the commit that it was made from. */
export interface UnsavedWork {
  key: string;
  runId: string;
  branch: string;
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
 * Keeps the files of a checkout as a commit, unless they are kept already or are as the base has them. Safe to repeat:
 * a crash leaves objects that nothing refers to, and the next call makes the same commit of the same files.
 */
export async function saveFiles(work: UnsavedWork, inRuns: GitOptions): Promise<SavedWork | undefined> {
  const ref = workRef(work);
  const former = await shaOf(ref, inRuns);
  const indexFile = join(work.own, "saving");
  const { checkout, baseSha } = work;
  const tree = await stageWhatCanBe({ checkout, indexFile, baseSha }, inRuns);
  for (const known of [former, baseSha, await shaOf(`refs/heads/${work.branch}`, inRuns)]) {
    if (known !== undefined && (await treeOf(known, inRuns)) === tree)
      return former === undefined ? undefined : { ref, sha: former };
  }
  const message = `Saved files of ${work.key}, run ${work.runId}\n\nNot checked, and not meant to be merged.`;
  const parent = former ?? baseSha;
  const sha = (await git(["commit-tree", tree, "-p", parent, "-m", message], inRuns)).trim();
  await git(["update-ref", ref, sha], inRuns);
  return { ref, sha };
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
