/** Where a run starts from, and what it finds of its own: read from the mirror, and from what earlier runs made. */
import { WorkerError } from "../../core/errors.ts";
import { type CommitRecord, readCommitMessage, taskTrailer } from "../branch.ts";
import { askGit, type GitOptions, git } from "../git.ts";
import type { MirrorState } from "./mirror.ts";

/** A commit of this task that an earlier run made, and perhaps pushed. */
export interface OwnCommit {
  sha: string;
  isPushed: boolean;
  record: CommitRecord;
}

export interface Base {
  base: string;
  baseSha: string;
}

/** The configured base, or the default branch; `REPOSITORY_INVALID` where there is no such branch. */
export async function findBase(
  { repoUrl, base: configured }: { repoUrl: string; base?: string | undefined },
  { defaultBranch, formerDefaultBranch }: MirrorState,
  inMirror: GitOptions,
): Promise<Base> {
  const base = configured ?? defaultBranch;
  const baseSha = base && (await shaOf(`refs/heads/${base}`, inMirror));
  if (base && baseSha) return { base, baseSha };

  const moved = formerDefaultBranch === undefined ? "" : ` (it was "${formerDefaultBranch}" before)`;
  const why = configured
    ? `it has no branch "${configured}"${moved}`
    : `it has no default branch with a commit${moved}`;
  throw new WorkerError(`Cannot work in repository ${repoUrl}: ${why}`, {
    code: "REPOSITORY_INVALID",
    retry: "never",
    hint: configured
      ? "Correct base in its [[repositories]] of robson.toml, or leave it out to start from the default branch"
      : "Push a first commit to it, or name a base branch for it in [[repositories]] of robson.toml",
  });
}

/** The commit that a ref or another name stands for. */
export async function shaOf(name: string, options: GitOptions): Promise<string | undefined> {
  const sha = await askGit(["rev-parse", "--verify", "--quiet", `${name}^{commit}`], options);
  return sha?.trim() || undefined;
}

/** Whether the history of a commit goes back to another one. */
export async function isAncestor(
  sha: string,
  { of, options }: { of: string; options: GitOptions },
): Promise<boolean> {
  return (await askGit(["merge-base", "--is-ancestor", sha, of], options)) !== undefined;
}

interface OwnCommitRequest {
  key: string;
  branch: string;
  baseSha: string;
}

/** This task's commit on the pushed branch, or else on the local one. A pushed branch without it is a stranger's. */
export async function findOwnCommit(
  { key, branch, baseSha }: OwnCommitRequest,
  { inMirror, inRuns }: { inMirror: GitOptions; inRuns: GitOptions },
): Promise<OwnCommit | undefined> {
  for (const { options, isPushed } of [
    { options: inMirror, isPushed: true },
    { options: inRuns, isPushed: false },
  ]) {
    const sha = await shaOf(`refs/heads/${branch}`, options);
    if (!sha) continue;
    const own = ["--fixed-strings", `--grep=${taskTrailer(key)}`];
    const range = `${baseSha}..${sha}`;
    const log = await git(["log", "-z", "--format=%B", "--max-count=20", ...own, range, "--"], inRuns);
    const record = log
      .split("\0")
      .map((message) => readCommitMessage(message, key))
      .find((found) => found);
    if (record) return { sha, isPushed, record };
    if (isPushed) throw strangersBranch(branch);
  }
  return undefined;
}

function strangersBranch(branch: string): WorkerError {
  return new WorkerError(
    `Cannot use the branch "${branch}": it is pushed already and has no commit of this task`,
    {
      code: "REPOSITORY_INVALID",
      retry: "never",
      hint: "Delete or rename that branch, then run the task again",
    },
  );
}
