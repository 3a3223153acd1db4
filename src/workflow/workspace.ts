/**
 * The folder in which one task's work in one repository happens: Robson's clone, the checkout with a git of its
 * own for the agent, and a home for the programs that work there. Robson's git reads nothing of the checkout's
 * `.git`, which is the agent's to change. A clone that holds this task's commit is kept after a crash; any
 * other is made anew, and appears by renaming, so that a crash leaves a whole one or none.
 */
import { createHash } from "node:crypto";
import { lstat, mkdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { WorkerError } from "../core/errors.ts";
import { type CommitRecord, readCommitMessage, taskTrailer } from "./branch.ts";
import { cleanEnvironment } from "./child-process.ts";
import { askGit, type GitOptions, git } from "./git.ts";
import { endLeftovers, WORKSPACE_VARIABLE } from "./leftovers.ts";

/** A commit of this task that an earlier run made, and perhaps pushed. */
export interface OwnCommit {
  sha: string;
  isPushed: boolean;
  record: CommitRecord;
}

export interface Workspace {
  /** The folder of it all. */
  root: string;
  repoUrl: string;
  /** Robson's clone, a git directory without files. Nothing that the agent edits is read as its configuration. */
  repository: string;
  /** What the agent and the checks work on. */
  checkout: string;
  /** What programs in the checkout see of the environment. */
  environment: Record<string, string>;
  base: string;
  baseSha: string;
  ownCommit?: OwnCommit;
}

export interface WorkspaceRequest {
  workDirectory: string;
  key: string;
  repoUrl: string;
  branch: string;
  /** The branch to start from; the repository's default branch where this is absent. */
  base?: string | undefined;
}

/** Clones, or takes up what an earlier run left. Ends whatever that run left running. */
export async function prepareWorkspace(
  request: WorkspaceRequest,
  options: Omit<GitOptions, "directory">,
): Promise<Workspace> {
  const root = workspaceRoot(request);
  const repository = join(root, "repository");
  const home = join(root, "home");
  await endLeftovers(root);
  await mkdir(root, { recursive: true, mode: 0o700 });
  await rm(home, { recursive: true, force: true });
  await mkdir(home, { mode: 0o700 });

  const inRepository = { ...options, directory: root, repository };
  if (await holdsOwnCommit(request, inRepository)) {
    const heads = "+refs/heads/*:refs/remotes/origin/*";
    await git(["fetch", "--quiet", "--prune", "--", request.repoUrl, heads], inRepository);
  } else {
    await clone(request, { root, repository }, options);
  }
  const { base, baseSha } = await findBase(request, inRepository);
  const ownCommit = await findOwnCommit(request, { base, ...inRepository });
  return {
    root,
    repoUrl: request.repoUrl,
    repository,
    checkout: join(root, "checkout"),
    environment: { ...cleanEnvironment({ home }), [WORKSPACE_VARIABLE]: root },
    base,
    baseSha,
    ...(ownCommit ? { ownCommit } : {}),
  };
}

/** Removes the folder after the work is done. Safe to call twice. */
export async function removeWorkspace(workspace: Workspace): Promise<void> {
  await endLeftovers(workspace.root);
  await rm(workspace.root, { recursive: true, force: true });
}

/** Makes the checkout, on the task's branch, as it is at the base. Its git borrows the objects of Robson's clone. */
export async function startBranch(
  { root, repoUrl, repository, checkout, baseSha }: Workspace,
  branch: string,
  options: Omit<GitOptions, "directory">,
): Promise<void> {
  await rm(checkout, { recursive: true, force: true });
  const clone = ["clone", "--quiet", "--shared", "--no-checkout", "--", repository, checkout];
  await git(clone, { ...options, directory: root });
  const inCheckout = { ...options, directory: checkout };
  await git(["remote", "set-url", "origin", repoUrl], inCheckout);
  await git(["checkout", "--quiet", "-B", branch, baseSha], inCheckout);
}

/** Whether the checkout is still a folder: one that became a link would have Robson commit another folder's files. */
export async function hasCheckout({ checkout }: Workspace): Promise<boolean> {
  return lstat(checkout).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function workspaceRoot({ workDirectory, key, repoUrl }: WorkspaceRequest): string {
  const name = /([\w.-]+?)(\.git)?\/?$/.exec(repoUrl)?.[1] ?? "repository";
  const digest = createHash("sha256").update(repoUrl).digest("hex").slice(0, 8);
  return resolve(workDirectory, key, `${name}-${digest}`);
}

async function holdsOwnCommit(
  { key, branch, repoUrl }: WorkspaceRequest,
  options: GitOptions & { repository: string },
): Promise<boolean> {
  const isThere = await stat(join(options.repository, "HEAD")).then(
    () => true,
    () => false,
  );
  if (!isThere) return false;
  const origin = await askGit(["config", "--get", "remote.origin.url"], options);
  if (origin?.trim() !== repoUrl) return false;
  const message = await askGit(["log", "-1", "--format=%B", `refs/heads/${branch}`, "--"], options);
  return message !== undefined && readCommitMessage(message, key) !== undefined;
}

async function clone(
  { repoUrl }: WorkspaceRequest,
  { root, repository }: { root: string; repository: string },
  options: Omit<GitOptions, "directory">,
): Promise<void> {
  const fresh = join(root, "cloning");
  await rm(repository, { recursive: true, force: true });
  await rm(fresh, { recursive: true, force: true });
  await git(["clone", "--quiet", "--no-checkout", "--", repoUrl, fresh], { ...options, directory: root });
  await rename(join(fresh, ".git"), repository);
  await rm(fresh, { recursive: true, force: true });
}

async function findBase({ base, repoUrl }: WorkspaceRequest, options: GitOptions) {
  const head = "refs/remotes/origin/";
  const name = base ?? (await askGit(["symbolic-ref", `${head}HEAD`], options))?.trim().slice(head.length);
  const sha =
    name && (await askGit(["rev-parse", "--verify", "--quiet", `${head}${name}^{commit}`], options))?.trim();
  if (name && sha) return { base: name, baseSha: sha };

  const why = base ? `it has no branch "${base}"` : "it has no default branch with a commit";
  throw new WorkerError(`Cannot work in repository ${repoUrl}: ${why}`, {
    code: "REPOSITORY_INVALID",
    retry: "never",
    hint: base ? "Correct the base branch in the configuration" : "Push a first commit to it",
  });
}

/** This task's commit on the pushed branch, or else on the local one. A pushed branch without it is a stranger's. */
async function findOwnCommit(
  { key, branch }: WorkspaceRequest,
  options: GitOptions & { base: string },
): Promise<OwnCommit | undefined> {
  const places = [
    { ref: `refs/remotes/origin/${branch}`, isPushed: true },
    { ref: `refs/heads/${branch}`, isPushed: false },
  ];
  for (const { ref, isPushed } of places) {
    const sha = (await askGit(["rev-parse", "--verify", "--quiet", `${ref}^{commit}`], options))?.trim();
    if (!sha) continue;
    const range = `refs/remotes/origin/${options.base}..${ref}`;
    const own = ["--fixed-strings", `--grep=${taskTrailer(key)}`];
    const log = await git(["log", "-z", "--format=%B", "--max-count=20", ...own, range, "--"], options);
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
