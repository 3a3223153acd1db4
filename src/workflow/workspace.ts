/**
 * The folder in which one task's work in one repository happens: a checkout with a git of its own for the agent, and a
 * home for the programs that work there. Robson's git lies elsewhere (`workspace/places.ts`), and reads nothing of the
 * checkout's `.git`, which is the agent's to change. Every function may be called again after a crash at any instant.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { RobsonError, WorkerError } from "../core/errors.ts";
import { cleanEnvironment } from "./child-process.ts";
import { type FileLock, type TryLock, tryLockFor } from "./file-lock.ts";
import { endLeftovers, WORKSPACE_VARIABLE } from "./leftovers.ts";
import { type Base, findBase, findOwnCommit, isAncestor, type OwnCommit, shaOf } from "./workspace/base.ts";
import { hasCheckout, makeCheckout } from "./workspace/checkout.ts";
import { ensureRoom } from "./workspace/clean.ts";
import { ensureRunsRepository, updateMirror } from "./workspace/mirror.ts";
import {
  type RepositoryPlaces,
  repositoryPlaces,
  type WorkspacePlaces,
  workspacePlaces,
} from "./workspace/places.ts";
import { readRecord, type WorkspaceRecord, writeRecord } from "./workspace/record.ts";
import { type LfsRule, lfsPatterns, refuseLfs } from "./workspace/repository-kinds.ts";
import {
  forWorkspace,
  type GitSettings,
  type InRepository,
  removeLocks,
  underLock,
  withRepository,
} from "./workspace/repository-lock.ts";
import { findSavedFiles, type SavedWork, saveFiles } from "./workspace/saved-work.ts";
import {
  type SubmoduleRule,
  type SubmoduleRules,
  type SubmoduleWork,
  writeSubmodules,
} from "./workspace/submodules.ts";
import { emptyTrash, removeTree, throwAway } from "./workspace/trash.ts";

export type { OwnCommit } from "./workspace/base.ts";
export { hasCheckout } from "./workspace/checkout.ts";
export type { GitSettings } from "./workspace/repository-lock.ts";
export type { SavedWork } from "./workspace/saved-work.ts";

/** What Robson does with a repository besides cloning it; from its row in `[[repositories]]`. */
export interface CloneRules {
  /** What is left out until it is needed, as git says it: `blob:none`. Default: nothing. */
  filter?: string | undefined;
  /** Default: they are fetched. */
  submodules?: SubmoduleRule | undefined;
  /** Default: a repository that uses it is refused. */
  lfs?: LfsRule | undefined;
}

export interface WorkspaceRequest extends CloneRules {
  workDirectory: string;
  tryLock: TryLock;
  key: string;
  /** The run that works there: the same one finds its checkout again, another starts anew. Default: always anew. */
  runId?: string | undefined;
  repoUrl: string;
  branch: string;
  /** The branch to start from; the repository's default branch where this is absent. */
  base?: string | undefined;
  /** Which addresses submodules may have. */
  rules?: SubmoduleRules | undefined;
}

/** What the steps between agent and pull request need of it. */
export interface Workspace {
  /** The folder of it all. */
  root: string;
  repoUrl: string;
  /** Robson's repository of what runs make, without files. Nothing that the agent edits is read as its configuration. */
  repository: string;
  /** Robson's folder for this workspace, out of the agent's reach. Default: `root`. */
  own?: string;
  /** What the agent and the checks work on. */
  checkout: string;
  /** What programs in the checkout see of the environment. */
  environment: Record<string, string>;
  base: string;
  baseSha: string;
  ownCommit?: OwnCommit;
  /** What of it belongs to Git LFS, where that is not refused. */
  lfs?: string[];
  /** How its submodules were fetched; absent where they are left alone. */
  submodules?: Omit<SubmoduleWork, "own" | "options">;
}

/** One that this process has claimed. */
export interface PreparedWorkspace extends Workspace {
  key: string;
  runId: string;
  branch: string;
  /** For a sandbox: what they may write, and what they must be able to read besides. */
  writable: string[];
  readable: string[];
  /** What the default branch was when the repository was fetched before, where that has changed. */
  formerDefaultBranch?: string;
  /** What was saved of this run's files when its checkout was removed. */
  savedWork?: SavedWork & Base;
  /** What its mirror leaves out. */
  filter?: string | undefined;
  /** For the functions of the workspace. */
  places: RepositoryPlaces & WorkspacePlaces;
  tryLock: TryLock;
  claim: FileLock;
}

/** How long a claim is waited for: someone who only lists the workspaces looks at it for a moment. */
const MAX_CLAIM_WAIT_MS = 2000;

/**
 * Claims the workspace for this process, until `releaseWorkspace` or `removeWorkspace`, and brings the mirror up to date.
 * Ends whatever an earlier run left running. The checkout of the same run is kept, with the base it started from; that of
 * another one is saved and removed. `WORKSPACE_IN_USE` while a process works there, `WORKSPACES_FULL` where there is no room
 * for a checkout.
 */
export async function prepareWorkspace(
  request: WorkspaceRequest,
  options: GitSettings,
): Promise<PreparedWorkspace> {
  const repository = repositoryPlaces(request.workDirectory, request.repoUrl);
  const places = { ...repository, ...workspacePlaces(request.workDirectory, request) };
  if (!(await hasCheckout(places))) await ensureRoom({ ...request, now: Date.now() }, options);
  return withRepository({ places: repository, tryLock: request.tryLock }, options, async () => {
    const claim = await claimWorkspace(places, request, options);
    try {
      return { ...(await prepare(request, { places, options })), claim };
    } catch (error) {
      claim.release();
      throw error;
    }
  });
}

/**
 * Makes the checkout anew, on the task's branch: as it is at the base, or with the files of a commit. What was there is
 * saved before. A crash leaves the former checkout or the new one, or none.
 */
export async function startBranch(
  workspace: PreparedWorkspace,
  branch: string,
  options: GitSettings & { files?: string | undefined },
): Promise<void> {
  const { files, ...settings } = options;
  const { places, base, baseSha, repoUrl, submodules } = workspace;
  await saveWork(workspace, settings);
  await throwAway(places, workspace.checkout);
  await emptyTrash(places);
  const inRuns = inRunsOf(workspace, settings);
  const inMirror = { ...inRuns, repository: places.mirror };
  const request = { ...places, repoUrl, branch, base, baseSha, files };
  await makeCheckout(request, { inMirror, inRuns }, async (folder) => {
    // Those of the base, whatever the files say: an agent could have written addresses there, to be called from here.
    const commit = { folder, repoUrl, sha: baseSha, inRepository: inRuns };
    if (submodules) await writeSubmodules(commit, { ...submodules, own: places.own, options: settings });
  });
}

/**
 * The checkout of this run as it was left; where it was removed meanwhile, with the files that were saved of it, or with
 * those of the run's commit; or a new one.
 */
export async function resumeBranch(
  workspace: PreparedWorkspace,
  branch: string,
  options: GitSettings,
): Promise<"kept" | "restored" | "new"> {
  if (await hasCheckout(workspace)) return "kept";
  const { savedWork, ownCommit, baseSha } = workspace;
  const isCommitted =
    ownCommit && (await isAncestor(baseSha, { of: ownCommit.sha, options: inRunsOf(workspace, options) }));
  // Files that were saved on another base would undo what has changed since.
  const isSaved = savedWork?.baseSha === baseSha;
  const files = isSaved ? savedWork?.sha : isCommitted ? ownCommit?.sha : undefined;
  await startBranch(workspace, branch, { ...options, files });
  return files === undefined ? "new" : "restored";
}

/** Keeps what is in the checkout under `refs/robson/<key>/<run>/`. Safe to repeat; the same files are kept once. */
export async function saveWork(
  workspace: PreparedWorkspace,
  options: GitSettings,
): Promise<SavedWork | undefined> {
  if (!(await hasCheckout(workspace))) return undefined;
  return saveFiles({ ...workspace, own: workspace.places.own }, inRunsOf(workspace, options));
}

/** Lets another process or a later run have the workspace; its folder stays. Ends what still runs there. */
export async function releaseWorkspace({ root, claim }: PreparedWorkspace): Promise<void> {
  // What runs there after that is another claim's.
  if (!claim.isHeld) return;
  await endLeftovers(root);
  claim.release();
}

/** Removes the folder after the work is done, and what is in it after it is saved. Safe to call twice. */
export async function removeWorkspace(workspace: PreparedWorkspace, options: GitSettings): Promise<void> {
  const { places, tryLock, claim } = workspace;
  if (!claim.isHeld) return;
  await endLeftovers(workspace.root);
  if (await hasCheckout(workspace)) {
    await saveFiles({ ...workspace, own: places.own }, inRunsOf(workspace, options), { isOver: true });
  }
  await throwAway(places, workspace.root);
  await withRepository({ places, tryLock }, options, async () => {
    // Under the repository's lock, as every claim is made: nobody can be waiting for the lock that goes with the folder.
    await removeTree(places.own);
    await emptyTrash(places);
  });
  claim.release();
}

/** Robson's git for what this workspace's run makes. */
export function inRunsOf(workspace: Workspace, options: GitSettings): InRepository {
  return forWorkspace({ ...workspace, own: ownFolder(workspace) }, options);
}

/** Robson's folder for the workspace. */
export function ownFolder({ own, root }: Pick<Workspace, "own" | "root">): string {
  return own ?? root;
}

type Places = RepositoryPlaces & WorkspacePlaces;

async function claimWorkspace(
  places: Places,
  { key, repoUrl, tryLock }: WorkspaceRequest,
  { signal }: GitSettings,
): Promise<FileLock> {
  await mkdir(places.own, { recursive: true, mode: 0o700 });
  const claim = await tryLockFor(places.live, { tryLock, maxWaitMs: MAX_CLAIM_WAIT_MS, signal });
  if (claim) return claim;
  throw new WorkerError(`Cannot work on ${key} in ${repoUrl}: a process is at it already`, {
    code: "WORKSPACE_IN_USE",
    retry: "later",
    hint: "Wait for the end of that run, or stop it; robson workspaces list shows what is in use",
  });
}

async function prepare(
  request: WorkspaceRequest,
  { places, options }: { places: Places; options: GitSettings },
): Promise<Omit<PreparedWorkspace, "claim">> {
  const { key, repoUrl, branch, runId = "none", workDirectory, tryLock, rules = {} } = request;
  refuseUnfitName(runId);
  await endLeftovers(places.root);
  await endLeftovers(places.own);
  await removeLocks(join(places.runs, "refs", "robson", key), { isDeep: true });
  await removeTree(join(places.runs, "refs", "heads", `${branch}.lock`));

  const mirror = await updateMirror(places, request, options);
  await ensureRunsRepository(places, options);
  const inMirror = underLock(places, places.mirror, options);
  const inRuns = underLock(places, places.runs, options);

  const former = await readRecord(places);
  const isSameRun =
    former !== undefined &&
    request.runId === former.runId &&
    (await shaOf(former.baseSha, inRuns)) !== undefined;
  // Before anything of the checkout is saved under the run's name.
  const saved = request.runId === undefined ? undefined : await findSavedFiles({ key, runId }, inRuns);
  const { base, baseSha } = isSameRun ? former : (saved ?? (await findBase(request, mirror, inMirror)));
  // A checkout without a record: its disk lost that, or a person put it there. It is kept all the same.
  if (!isSameRun)
    await saveAndRemove(places, {
      former: former ?? { key, runId: "unknown", branch, base, baseSha },
      inRuns,
    });
  const lfs = await lfsPatterns(baseSha, inRuns);
  refuseLfs(repoUrl, { patterns: lfs, rule: request.lfs ?? "refuse" });

  await mkdir(places.home, { recursive: true, mode: 0o700 });
  const now = Date.now();
  const createdAt = isSameRun ? former.createdAt : now;
  await writeRecord(places, { key, repoUrl, runId, branch, base, baseSha, createdAt, usedAt: now });
  const ownCommit = await findOwnCommit({ key, branch, baseSha }, { inMirror, inRuns });
  return {
    ...{ key, runId, repoUrl, branch, base, baseSha, places, tryLock, lfs, filter: request.filter },
    ...{ root: places.root, own: places.own, repository: places.runs, checkout: places.checkout },
    environment: { ...cleanEnvironment({ home: places.home }), [WORKSPACE_VARIABLE]: places.root },
    writable: [places.checkout, places.home],
    readable: [join(places.mirror, "objects")],
    ...(mirror.formerDefaultBranch === undefined ? {} : { formerDefaultBranch: mirror.formerDefaultBranch }),
    ...(request.submodules === "leave" ? {} : { submodules: { workDirectory, tryLock, rules } }),
    ...(ownCommit ? { ownCommit } : {}),
    ...(saved ? { savedWork: saved } : {}),
  };
}

/** What another run left: its files are kept under that run's name, then the folder goes. */
async function saveAndRemove(
  places: Places,
  {
    former,
    inRuns,
  }: { former: Pick<WorkspaceRecord, "key" | "runId" | "branch" | "base" | "baseSha">; inRuns: InRepository },
): Promise<void> {
  if (await hasCheckout(places))
    await saveFiles({ ...former, checkout: places.checkout, own: places.own }, inRuns);
  await throwAway(places, places.root);
  await emptyTrash(places);
  await mkdir(places.root, { recursive: true, mode: 0o700 });
}

/** It becomes a part of refs. */
function refuseUnfitName(runId: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(runId)) return;
  throw new RobsonError("INTERNAL", `Cannot name a workspace after the run ${JSON.stringify(runId)}`, {
    hint: "Use letters, digits, dashes and underscores, 64 at the most",
  });
}
