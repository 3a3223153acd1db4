/**
 * From a changed checkout to one commit on the pushed branch. The tree is staged into Robson's own repository and
 * committed on the base, so that what the agent did with git itself (commits, branches, settings, a locked
 * index) does not matter; and it is staged before the checks run, so that their leftovers are not committed.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WorkerError } from "../core/errors.ts";
import { type GitOptions, git } from "./git.ts";
import type { WorkflowLimits } from "./limits.ts";
import { named, refuseChangedLfs } from "./workspace/repository-kinds.ts";
import { nestedRepositories, startStaging } from "./workspace/staging.ts";
import { changedSubmodules, submodulesIn } from "./workspace/submodules.ts";
import { type GitSettings, hasCheckout, inRunsOf, ownFolder, type Workspace } from "./workspace.ts";

export type CommitOptions = GitSettings;

/**
 * The id of the tree as it is now, or undefined when nothing differs from the base. `AGENT_FAILED` where a commit could not
 * hold the change: repositories within the checkout, changed submodules, files of Git LFS.
 */
export async function stageTree(workspace: Workspace, options: CommitOptions): Promise<string | undefined> {
  const inRuns = inRunsOf(workspace, options);
  const { checkout, baseSha } = workspace;
  if (!(await hasCheckout(workspace))) throw checkoutGone(workspace);
  const staging = { checkout, indexFile: join(ownFolder(workspace), "index"), baseSha };
  const inIndex = await startStaging(staging, inRuns);
  try {
    await git(["add", "--all", "--", "."], inIndex);
  } catch (error) {
    options.signal.throwIfAborted();
    await refuseNested(workspace, inIndex);
    throw error;
  }
  await refuseNested(workspace, inIndex);
  await refuseSubmoduleChanges(workspace, { inRuns, options });
  const tree = (await git(["write-tree"], inIndex)).trim();
  const baseTree = (await git(["rev-parse", `${baseSha}^{tree}`], inIndex)).trim();
  if (tree === baseTree) return undefined;
  if (workspace.lfs !== undefined && workspace.lfs.length > 0) {
    const diff = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", baseTree, tree];
    const changed = (await git(diff, inIndex)).split("\0").slice(0, -1);
    await refuseChangedLfs({ changed, what: workspace.repoUrl }, inIndex);
  }
  return tree;
}

function checkoutGone({ repoUrl }: Workspace): WorkerError {
  return new WorkerError(
    `Cannot commit the change of ${repoUrl}: its checkout is gone, or no folder any more`,
    {
      code: "AGENT_FAILED",
      retry: "never",
      hint: "Nothing was pushed. Say in the ticket that the agent is to work within its folder, then run the task again",
    },
  );
}

/** Commits the tree on the base and points the local branch at it; returns the commit's id. */
export async function commitTree(
  workspace: Workspace,
  commit: { tree: string; message: string; branch: string },
  options: CommitOptions,
): Promise<string> {
  // By a file: an argument has a limit that an agent's summary may exceed.
  const messageFile = join(ownFolder(workspace), "message");
  await rm(messageFile, { recursive: true, force: true });
  await writeFile(messageFile, commit.message, { flag: "wx" });
  const args = ["commit-tree", commit.tree, "-p", workspace.baseSha, "-F", messageFile];
  const sha = (await git(args, inRunsOf(workspace, options))).trim();
  await git(["update-ref", `refs/heads/${commit.branch}`, sha], inRunsOf(workspace, options));
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
  await git(args, inRunsOf(workspace, options));
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
  const stat = await git([...args, count, range, "--"], inRunsOf(workspace, options));
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
  const staged = inRunsOf(workspace, options);
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
  const listed = await git(["ls-tree", "-z", "--name-only", tree], inRunsOf(workspace, options));
  return listed.split("\0").slice(0, -1);
}

async function refuseNested({ baseSha, repoUrl }: Workspace, inIndex: GitOptions): Promise<void> {
  const paths = await nestedRepositories({ baseSha }, inIndex);
  if (paths.length === 0) return;
  throw new WorkerError(
    `Cannot commit the change of ${repoUrl}: ${named(paths)} became repositories of their own in it`,
    {
      code: "AGENT_FAILED",
      retry: "never",
      hint: "Nothing was pushed. Say in the ticket that no repository is to be made or cloned within the project, and that its submodules are to stay as they are; then run the task again",
    },
  );
}

async function refuseSubmoduleChanges(
  workspace: Workspace,
  { inRuns, options }: { inRuns: GitOptions; options: CommitOptions },
): Promise<void> {
  if (workspace.submodules === undefined) return;
  const { repoUrl, baseSha: sha, checkout } = workspace;
  const work = { ...workspace.submodules, own: ownFolder(workspace), options };
  const submodules = await submodulesIn({ repoUrl, sha, inRepository: inRuns }, work);
  const paths = await changedSubmodules({ checkout, submodules }, work);
  if (paths.length === 0) return;
  throw new WorkerError(
    `Cannot commit the change of ${repoUrl}: files of its submodules ${named(paths)} are changed`,
    {
      code: "AGENT_FAILED",
      retry: "never",
      hint: "Nothing was pushed. A submodule is a repository of its own: make a task that names it",
    },
  );
}
