/**
 * From a changed checkout to one commit on the pushed branch. The tree is staged into Robson's own clone and
 * committed on the base, so that what the agent did with git itself (commits, branches, settings, a locked
 * index) does not matter; and it is staged before the checks run, so that their leftovers are not committed.
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
  await rm(indexFile, { recursive: true, force: true });
  await rm(`${indexFile}.lock`, { recursive: true, force: true });
  const environment = {
    ...options.environment,
    GIT_INDEX_FILE: indexFile,
    GIT_WORK_TREE: workspace.checkout,
  };
  const staged = { ...inRepository(workspace, options), directory: workspace.checkout, environment };
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
  // By a file: an argument has a limit that an agent's summary may exceed. A new one, because the agent could
  // have put a link or a pipe there, and writing to a pipe would never end.
  const messageFile = join(workspace.root, "message");
  await rm(messageFile, { recursive: true, force: true });
  await writeFile(messageFile, commit.message, { flag: "wx" });
  const args = ["commit-tree", commit.tree, "-p", workspace.baseSha, "-F", messageFile];
  const sha = (await git(args, inRepository(workspace, options))).trim();
  await git(["update-ref", `refs/heads/${commit.branch}`, sha], inRepository(workspace, options));
  return sha;
}

/** Pushes the commit as the branch; never by force, so that nobody's commits are lost. */
export async function push(
  workspace: Workspace,
  target: { branch: string; sha: string },
  options: CommitOptions,
): Promise<void> {
  const refspec = `${target.sha}:refs/heads/${target.branch}`;
  const args = ["push", "--quiet", "--no-verify", "--", workspace.repoUrl, refspec];
  await git(args, inRepository(workspace, options));
}

/** Which files the commit changes, as people read it. */
export async function diffStat(
  workspace: Workspace,
  { sha, limits }: { sha: string; limits: WorkflowLimits },
  options: CommitOptions,
): Promise<string> {
  const args = ["diff", "--no-color", "--no-ext-diff", "--no-textconv", "--stat=90"];
  const count = `--stat-count=${limits.maxDiffStatFiles}`;
  const range = `${workspace.baseSha}...${sha}`;
  const stat = await git([...args, count, range, "--"], inRepository(workspace, options));
  return stat.trimEnd();
}

/**
 * A file at the top of the staged tree, or undefined where there is none of that name that is a plain file: what
 * Robson reads of a change, it reads from here, never from the checkout, where a name may lead to a pipe or a device.
 */
export async function readStaged(
  workspace: Workspace,
  file: { tree: string; name: string },
  options: CommitOptions,
): Promise<{ bytes: number; read(): Promise<string> } | undefined> {
  const staged = inRepository(workspace, options);
  const listed = await git(["ls-tree", "-z", "--long", file.tree, "--", file.name], staged);
  const [, mode, blob, bytes] = /^(\d+) blob (\w+) +(\d+)\t/.exec(listed) ?? [];
  if (blob === undefined || (mode !== "100644" && mode !== "100755")) return undefined;
  return { bytes: Number(bytes), read: () => git(["cat-file", "blob", blob], staged) };
}

/** The names at the top of the staged tree. */
export async function stagedNames(
  workspace: Workspace,
  tree: string,
  options: CommitOptions,
): Promise<string[]> {
  const listed = await git(["ls-tree", "-z", "--name-only", tree], inRepository(workspace, options));
  return listed.split("\0").slice(0, -1);
}

function inRepository({ root, repository }: Workspace, options: CommitOptions) {
  return { ...options, directory: root, repository };
}
