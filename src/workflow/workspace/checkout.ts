/**
 * Makes the checkout of a run. Its git is the agent's own: it borrows the objects of the mirror, which it only reads, and
 * Robson's git never reads it again. The files are written by Robson's git, so that what a partial mirror has left out is
 * fetched then, with credentials that the agent never has. The checkout appears by renaming: a whole one or none.
 */
import { cp, lstat, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { askGit, type GitOptions, git } from "../git.ts";
import { shaOf } from "./base.ts";
import { removeTree } from "./trash.ts";

export interface NewCheckout {
  /** Where it appears; nothing may be there. */
  checkout: string;
  /** The folder that it appears in, and where it is made. */
  root: string;
  /** Robson's folder for it. */
  own: string;
  repoUrl: string;
  mirror: string;
  branch: string;
  base: string;
  baseSha: string;
  /** The commit or tree whose files it has. Default: the base's. The agent sees the rest as not committed yet. */
  files?: string | undefined;
}

/** What writes more files into the checkout before it appears: the submodules. */
export type AddFiles = (folder: string) => Promise<void>;

export async function makeCheckout(
  request: NewCheckout,
  { inMirror, inRuns }: { inMirror: GitOptions; inRuns: GitOptions },
  addFiles: AddFiles,
): Promise<void> {
  const fresh = join(request.root, "checkout-fresh");
  await removeTree(fresh);
  await mkdir(request.root, { recursive: true, mode: 0o700 });
  await makeAgentsGit(fresh, request, inMirror);
  await writeFiles(fresh, request, { inMirror, inRuns });
  await addFiles(fresh);
  await rename(fresh, request.checkout);
}

/** Whether the checkout is still a folder: one that became a link would have Robson commit another folder's files. */
export async function hasCheckout({ checkout }: { checkout: string }): Promise<boolean> {
  return lstat(checkout).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** A git directory with the base's history by reference, the run's branch, and nothing to log in with. */
async function makeAgentsGit(fresh: string, request: NewCheckout, inMirror: GitOptions): Promise<void> {
  const { root, mirror, base, baseSha, branch, repoUrl } = request;
  const { signal, limits, environment = {} } = inMirror;
  const options = { signal, limits, environment };
  // A branch that the server has no more is known by its commit all the same.
  const isThere = (await shaOf(`refs/heads/${base}`, inMirror)) !== undefined;
  const only = isThere ? ["--single-branch", `--branch=${base}`] : [];
  const clone = ["clone", "--quiet", "--shared", "--no-checkout", "--template=", ...only];
  await git([...clone, "--", mirror, fresh], { ...options, directory: root });
  const inFresh = { ...options, directory: fresh, repository: join(fresh, ".git") };
  const cloned = (await askGit(["symbolic-ref", "--quiet", "HEAD"], inFresh))?.trim();
  await git(["config", "remote.origin.url", repoUrl], inFresh);
  await git(["update-ref", `refs/remotes/origin/${base}`, baseSha], inFresh);
  await git(["update-ref", `refs/heads/${branch}`, baseSha], inFresh);
  await git(["symbolic-ref", "HEAD", `refs/heads/${branch}`], inFresh);
  if (cloned && cloned !== `refs/heads/${branch}`) await askGit(["update-ref", "-d", cloned], inFresh);
}

async function writeFiles(
  fresh: string,
  { own, baseSha, files }: NewCheckout,
  { inMirror, inRuns }: { inMirror: GitOptions; inRuns: GitOptions },
): Promise<void> {
  const indexFile = join(fresh, ".git", "index");
  await git(["read-tree", "--reset", "-u", baseSha], writing(inMirror, { fresh, indexFile }));
  if (files === undefined) return;
  // An index of its own: for the agent's git the base stays what the files are compared with.
  await mkdir(own, { recursive: true, mode: 0o700 });
  const scratch = join(own, "writing");
  await removeTree(`${scratch}.lock`);
  await cp(indexFile, scratch);
  await git(["read-tree", "-m", "-u", baseSha, files], writing(inRuns, { fresh, indexFile: scratch }));
}

/** A folder with the files of a commit and no git of its own, as the agent gets a submodule. */
export async function writeSubmodule(
  { folder, own, sha }: { folder: string; own: string; sha: string },
  inMirror: GitOptions,
): Promise<void> {
  const indexFile = join(own, "writing-submodule");
  await removeTree(indexFile);
  await removeTree(`${indexFile}.lock`);
  await git(["read-tree", "--reset", "-u", sha], writing(inMirror, { fresh: folder, indexFile }));
  await writeFile(indexFile, "");
}

function writing(
  options: GitOptions,
  { fresh, indexFile }: { fresh: string; indexFile: string },
): GitOptions {
  const environment = { ...options.environment, GIT_WORK_TREE: fresh, GIT_INDEX_FILE: indexFile };
  return { ...options, directory: fresh, environment };
}
