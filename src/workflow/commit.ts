/**
 * From a changed checkout to one commit on the pushed branch. The tree is staged into an index of our own and
 * committed on the base, so that what the agent did with git itself (commits, branches, a locked index) does
 * not matter; and it is staged before the checks run, so that their leftovers are not committed.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type GitOptions, git } from "./git.ts";
import type { WorkflowLimits } from "./limits.ts";
import type { Workspace } from "./workspace.ts";

export type CommitOptions = Omit<GitOptions, "directory">;

/** The id of the tree as it is now, or undefined when nothing differs from the base. */
export async function stageTree(workspace: Workspace, options: CommitOptions): Promise<string | undefined> {
  const indexFile = join(workspace.root, "index");
  await rm(indexFile, { force: true });
  await rm(`${indexFile}.lock`, { force: true });
  const environment = { ...options.environment, GIT_INDEX_FILE: indexFile };
  const staged = { ...options, directory: workspace.checkout, environment };
  await git(["read-tree", workspace.baseSha], staged);
  await git(["add", "--all", "--", "."], staged);
  const tree = (await git(["write-tree"], staged)).trim();
  const baseTree = (await git(["rev-parse", `${workspace.baseSha}^{tree}`], staged)).trim();
  return tree === baseTree ? undefined : tree;
}

/** Commits the tree on the base and points the local branch at it; returns the commit's id. */
export async function commitTree(
  workspace: Workspace,
  commit: { tree: string; message: string; branch: string },
  options: CommitOptions,
): Promise<string> {
  const inCheckout = { ...options, directory: workspace.checkout };
  // By a file: an argument has a limit that an agent's summary may exceed.
  const messageFile = join(workspace.root, "message");
  await writeFile(messageFile, commit.message);
  const args = ["commit-tree", commit.tree, "-p", workspace.baseSha, "-F", messageFile];
  const sha = (await git(args, inCheckout)).trim();
  await git(["update-ref", `refs/heads/${commit.branch}`, sha], inCheckout);
  return sha;
}

/** Pushes the commit as the branch; never by force, so that nobody's commits are lost. */
export async function push(
  workspace: Workspace,
  target: { repoUrl: string; branch: string; sha: string },
  options: CommitOptions,
): Promise<void> {
  const refspec = `${target.sha}:refs/heads/${target.branch}`;
  // The address is named instead of "origin": the checkout's configuration is within reach of the agent.
  await git(["push", "--quiet", "--no-verify", "--", target.repoUrl, refspec], {
    ...options,
    directory: workspace.checkout,
  });
}

/** Which files the commit changes, as people read it. */
export async function diffStat(
  workspace: Workspace,
  { sha, limits }: { sha: string; limits: WorkflowLimits },
  options: CommitOptions,
): Promise<string> {
  const args = ["diff", "--no-color", "--no-ext-diff", "--no-textconv", "--stat=90"];
  const count = `--stat-count=${limits.maxDiffStatFiles}`;
  const stat = await git([...args, count, `${workspace.baseSha}...${sha}`, "--"], {
    ...options,
    directory: workspace.checkout,
  });
  return stat.trimEnd();
}
