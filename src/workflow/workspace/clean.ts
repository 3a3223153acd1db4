/**
 * Makes room in the work directory: workspaces that nobody works in, saved work that is old, mirrors without use. What a
 * run has made is saved before its folder goes, and what a process works in is never touched. Safe to repeat, and
 * beside running agents; a crash leaves folders that the next one removes.
 */
import { RobsonError, WorkerError } from "../../core/errors.ts";
import { tryLockFor } from "../file-lock.ts";
import { git } from "../git.ts";
import { endLeftovers } from "../leftovers.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import { hasCheckout } from "./checkout.ts";
import {
  type ListedRepository,
  type ListedWorkspace,
  listRepository,
  listWorkArea,
  totalBytes,
  type WorkArea,
} from "./inventory.ts";
import { workspacePlaces } from "./places.ts";
import { type GitSettings, underLock, withRepository } from "./repository-lock.ts";
import { type ListedRef, type SavedWork, saveFiles } from "./saved-work.ts";
import { emptyTrash, removeTree, throwAway } from "./trash.ts";

export interface CleanRequest extends WorkArea {
  now: number;
  /** Only the workspaces of these tasks. Default: what the limits of age and size do not keep. */
  keys?: readonly string[] | undefined;
  /** All that no process works in, whatever its age. */
  isAll?: boolean | undefined;
  /** Whether a workspace must stay although no process works in it: a run that waits for a person may want it again. */
  isWanted?: ((workspace: ListedWorkspace) => boolean) | undefined;
}

export interface CleanReport {
  removed: { workspace: ListedWorkspace; saved: SavedWork | undefined }[];
  /** Saved work that was older than `maxSavedDays`. */
  forgotten: ListedRef[];
  /** Repositories whose mirror is gone: it is fetched again when it is needed. */
  mirrors: string[];
  /** What is left on the disk. */
  bytes: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const MEGABYTE = 1024 * 1024;
/** How old objects must be before they go that nothing refers to: those of a run under way are younger. */
const PRUNE_EXPIRY = "7.days.ago";
/** How long a workspace's lock is tried: someone may be looking at it. */
const MAX_CLAIM_WAIT_MS = 500;

/** Cleans up. `WORKSPACE_IN_USE` when a task is named that a process works on; nothing is removed then. */
export async function cleanWorkArea(request: CleanRequest, options: GitSettings): Promise<CleanReport> {
  const { limits = DEFAULT_WORKFLOW_LIMITS } = options;
  const before = await listWorkArea(request, options);
  refuseLive(before, request);
  const report: CleanReport = { removed: [], forgotten: [], mirrors: [], bytes: totalBytes(before) };
  for (const repository of before) {
    for (const workspace of repository.workspaces.filter((each) => isUnwanted(each, { request, options })))
      await remove({ repository, workspace, request, report }, options);
  }
  if (request.keys === undefined) {
    for (const repository of before) await forget({ repository, request, report }, options);
    const maxBytes = limits.maxWorkMegabytes * MEGABYTE;
    if (report.bytes > maxBytes) await makeRoom({ before, request, report, maxBytes }, options);
  }
  return report;
}

/** Cleans up where the work directory is over its limit; `WORKSPACES_FULL` where that did not help. Call it before a run. */
export async function ensureRoom(
  request: WorkArea & Pick<CleanRequest, "now" | "isWanted">,
  options: GitSettings,
): Promise<void> {
  const { limits = DEFAULT_WORKFLOW_LIMITS } = options;
  const megabytes = (bytes: number) => Math.ceil(bytes / MEGABYTE);
  if (megabytes(totalBytes(await listWorkArea(request, options))) <= limits.maxWorkMegabytes) return;
  const { bytes } = await cleanWorkArea(request, options);
  if (megabytes(bytes) <= limits.maxWorkMegabytes) return;
  throw new WorkerError(
    `Cannot begin: the work directory takes ${megabytes(bytes)} MB, and maxWorkMegabytes is ${limits.maxWorkMegabytes}`,
    {
      code: "WORKSPACES_FULL",
      retry: "later",
      hint: "See what takes it: robson workspaces list. End runs, or raise workflow.limits.max_work_megabytes in robson.toml",
    },
  );
}

function refuseLive(before: readonly ListedRepository[], { keys }: CleanRequest): void {
  if (keys === undefined) return;
  const all = before.flatMap(({ workspaces }) => workspaces);
  const live = all.find(({ key, state }) => keys.includes(key) && state === "live");
  if (live) throw inUse(live);
  const missing = keys.find((key) => !all.some((each) => each.key === key));
  if (missing === undefined) return;
  throw new RobsonError("NOT_FOUND", `There is no workspace of task "${missing}"`, {
    hint: "See which there are: robson workspaces list",
  });
}

function isUnwanted(
  workspace: ListedWorkspace,
  { request, options }: { request: CleanRequest; options: GitSettings },
): boolean {
  const { limits = DEFAULT_WORKFLOW_LIMITS } = options;
  if (workspace.state === "live") return false;
  if (request.keys !== undefined) return request.keys.includes(workspace.key);
  if (request.isWanted?.(workspace)) return false;
  return request.isAll === true || request.now - workspace.usedAt > limits.maxWorkspaceDays * DAY_MS;
}

interface Removal {
  repository: ListedRepository;
  workspace: ListedWorkspace;
  request: CleanRequest;
  report: CleanReport;
}

/** One that a process has claimed meanwhile stays. */
async function remove(
  { repository, workspace, request, report }: Removal,
  options: GitSettings,
): Promise<void> {
  const { places } = repository;
  const { tryLock } = request;
  const { signal } = options;
  const its = workspacePlaces(request.workDirectory, workspace);
  await withRepository({ places, tryLock }, options, async () => {
    const claim = await tryLockFor(its.live, { tryLock, maxWaitMs: MAX_CLAIM_WAIT_MS, signal });
    if (!claim) {
      if (request.keys !== undefined) throw inUse(workspace);
      return;
    }
    try {
      await endLeftovers(its.root);
      await endLeftovers(its.own);
      const inRuns = underLock(places, places.runs, options);
      const work = { ...workspace, checkout: its.checkout, own: its.own };
      const saved = (await hasCheckout(its)) ? await saveFiles(work, inRuns) : undefined;
      await throwAway(places, its.root);
      await removeTree(its.own);
      await emptyTrash(places);
      report.removed.push({ workspace, saved });
      report.bytes -= workspace.bytes;
    } finally {
      claim.release();
    }
  });
}

/** Saved work and mirrors that are old. */
async function forget(
  { repository, request, report }: Omit<Removal, "workspace">,
  options: GitSettings,
): Promise<void> {
  const { limits = DEFAULT_WORKFLOW_LIMITS } = options;
  const { places } = repository;
  const isOld = (time: number) => request.now - time > limits.maxSavedDays * DAY_MS;
  const old = repository.saved.filter(({ savedAt }) => isOld(savedAt));
  if (old.length > 0) {
    await withRepository({ places, tryLock: request.tryLock }, options, async () => {
      const inRuns = underLock(places, places.runs, options);
      // Only as it was when it was looked at: a run may have added to it.
      for (const { ref, sha } of old) await git(["update-ref", "-d", ref, sha], inRuns);
      await git(["gc", "--quiet", `--prune=${PRUNE_EXPIRY}`], inRuns);
    });
    report.forgotten.push(...old);
  }
  if (isOld(repository.usedAt)) await dropMirror({ repository, request, report }, options);
}

/** What is left over the limit: the workspaces that were used longest ago, then mirrors that nothing builds on. */
async function makeRoom(
  {
    before,
    request,
    report,
    maxBytes,
  }: Omit<Removal, "workspace" | "repository"> & { before: ListedRepository[]; maxBytes: number },
  options: GitSettings,
): Promise<void> {
  const isGone = (workspace: ListedWorkspace) => report.removed.some((each) => each.workspace === workspace);
  const idle = before
    .flatMap((repository) => repository.workspaces.map((workspace) => ({ repository, workspace })))
    .filter(
      ({ workspace }) => workspace.state === "idle" && !isGone(workspace) && !request.isWanted?.(workspace),
    )
    .sort((a, b) => a.workspace.usedAt - b.workspace.usedAt);
  for (const each of idle) {
    if (report.bytes <= maxBytes) return;
    await remove({ ...each, request, report }, options);
  }
  for (const repository of [...before].sort((a, b) => a.usedAt - b.usedAt)) {
    if (report.bytes <= maxBytes) return;
    await dropMirror({ repository, request, report }, options);
  }
}

/** Only where no workspace and no saved work borrows from it. */
async function dropMirror(
  { repository, request, report }: Omit<Removal, "workspace">,
  options: GitSettings,
): Promise<void> {
  const { places, repoUrl } = repository;
  await withRepository({ places, tryLock: request.tryLock }, options, async () => {
    const now = await listRepository(places, request, options);
    // One that was used a moment ago may be a submodule's.
    const isUsed = request.now - now.usedAt < DAY_MS;
    if (isUsed || now.workspaces.length > 0 || now.saved.length > 0) return;
    await throwAway(places, places.runs);
    await throwAway(places, places.mirror);
    await emptyTrash(places);
    report.mirrors.push(repoUrl);
    report.bytes -= repository.bytes;
  });
}

function inUse({ key, repoUrl }: ListedWorkspace): WorkerError {
  return new WorkerError(`Cannot remove the workspace of ${key} in ${repoUrl}: a process works there`, {
    code: "WORKSPACE_IN_USE",
    retry: "later",
    hint: `Stop that run, or wait for its end, then: robson workspaces clean ${key}`,
  });
}
