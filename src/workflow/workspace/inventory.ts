/** What lies in the work directory: workspaces, what was saved of runs that are over, and mirrors, with their sizes. */
import { readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { runProcess } from "../child-process.ts";
import type { TryLock } from "../file-lock.ts";
import { askGit } from "../git.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import { hasCheckout } from "./checkout.ts";
import { lastUse } from "./mirror.ts";
import { type RepositoryPlaces, repositoryPlaces, workspacePlaces } from "./places.ts";
import { readRecord, type WorkspaceRecord } from "./record.ts";
import { forWorkspace, type GitSettings } from "./repository-lock.ts";
import { type ListedRef, listRefs } from "./saved-work.ts";

export interface WorkArea {
  workDirectory: string;
  tryLock: TryLock;
}

/** `live`: a process works there. `idle`: nobody does, its files are there. */
export interface ListedWorkspace extends WorkspaceRecord {
  state: "live" | "idle";
  bytes: number;
  hasCheckout: boolean;
  /** What is kept of the task's runs in this repository. */
  saved: ListedRef[];
}

export interface ListedRepository {
  repoUrl: string;
  places: RepositoryPlaces;
  /** Of the mirror, and of what runs made; without the workspaces. */
  bytes: number;
  /** When it was last brought up to date. */
  usedAt: number;
  workspaces: ListedWorkspace[];
  /** Of tasks that have no workspace any more. */
  saved: ListedRef[];
}

/** Everything below the work directory, repository by repository. Locks are only tried: nobody waits for this. */
export async function listWorkArea(area: WorkArea, options: GitSettings): Promise<ListedRepository[]> {
  const found: ListedRepository[] = [];
  for (const places of await knownRepositories(area, options))
    found.push(await listRepository(places, area, options));
  return found;
}

/** One repository of it. */
export async function listRepository(
  places: RepositoryPlaces,
  area: WorkArea,
  options: GitSettings,
): Promise<ListedRepository> {
  const inRuns = forWorkspace(
    { own: places.folder, repository: places.runs, repoUrl: places.repoUrl },
    options,
  );
  const refs = await listRefs(inRuns);
  const workspaces: ListedWorkspace[] = [];
  for (const record of await recordsOf(places, area))
    workspaces.push(await describe(record, { area, refs, options }));
  const bytes = (await sizeOf(places.mirror, options)) + (await sizeOf(places.runs, options));
  const taken = new Set(workspaces.flatMap(({ saved }) => saved));
  const saved = refs.filter((ref) => !taken.has(ref));
  const usedAt = (await lastUse(places)) ?? 0;
  return { repoUrl: places.repoUrl, places, bytes, usedAt, workspaces, saved };
}

/** What the whole takes on the disk. */
export function totalBytes(repositories: readonly ListedRepository[]): number {
  const all = repositories.flatMap(({ bytes, workspaces }) => [
    bytes,
    ...workspaces.map((each) => each.bytes),
  ]);
  return all.reduce((sum, bytes) => sum + bytes, 0);
}

/** What a folder takes on the disk; 0 where there is none. Files are not opened: that would let go of locks. */
export async function sizeOf(
  folder: string,
  { signal, limits = DEFAULT_WORKFLOW_LIMITS }: GitSettings,
): Promise<number> {
  const end = await runProcess({
    command: "du",
    args: ["-sk", "--", folder],
    directory: "/",
    environment: { PATH: process.env.PATH ?? "/usr/bin:/bin", LANG: "C" },
    timeoutMs: limits.gitTimeoutMs,
    limits,
    signal,
  }).catch(() => undefined);
  signal.throwIfAborted();
  // A machine without it: sizes are not known there, and limits of size do not hold.
  if (end === undefined) return 0;
  // It ends with 1 when files vanish under its hands, and has the sum all the same.
  return Number(/^(\d+)\s/m.exec(end.stdout)?.[1] ?? 0) * 1024;
}

/** Those whose mirror or whose workspaces name them. */
async function knownRepositories(
  { workDirectory }: WorkArea,
  options: GitSettings,
): Promise<RepositoryPlaces[]> {
  const folder = dirname(repositoryPlaces(workDirectory, "").folder);
  const found: RepositoryPlaces[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    const mirror = { ...options, directory: path, repository: join(path, "mirror.git") };
    const repoUrl = (await askGit(["config", "--get", "remote.origin.url"], mirror))?.trim();
    const places = repoUrl === undefined ? undefined : repositoryPlaces(workDirectory, repoUrl);
    if (places?.folder === path) found.push(places);
  }
  return found;
}

async function recordsOf(places: RepositoryPlaces, { workDirectory }: WorkArea): Promise<WorkspaceRecord[]> {
  const records: WorkspaceRecord[] = [];
  for (const key of await readdir(places.workspaces).catch(() => [])) {
    const record = await readRecord(workspacePlaces(workDirectory, { key, repoUrl: places.repoUrl }));
    if (record) records.push(record);
  }
  return records.sort((a, b) => a.usedAt - b.usedAt);
}

async function describe(
  record: WorkspaceRecord,
  { area, refs, options }: { area: WorkArea; refs: ListedRef[]; options: GitSettings },
): Promise<ListedWorkspace> {
  const places = workspacePlaces(resolve(area.workDirectory), record);
  const lock = area.tryLock(places.live);
  lock?.release();
  const isOfTask = ({ ref }: ListedRef) =>
    ref.startsWith(`refs/robson/${record.key}/`) || ref === `refs/heads/${record.branch}`;
  return {
    ...record,
    state: lock ? "idle" : "live",
    bytes: await sizeOf(places.root, options),
    hasCheckout: await hasCheckout(places),
    saved: refs.filter(isOfTask),
  };
}
