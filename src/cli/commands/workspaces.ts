/** `robson workspaces`: what lies in the work directory, and making room there. */
import { systemClock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import { count, relative } from "../../plugins/operator/words.ts";
import { tryFileLock } from "../../store/sqlite/file-lock.ts";
import { withoutCredentials } from "../../workflow/repository-url.ts";
import { cleanWorkArea } from "../../workflow/workspace/clean.ts";
import { type ListedRepository, listWorkArea, totalBytes } from "../../workflow/workspace/inventory.ts";
import { type ListedRef, shownRef } from "../../workflow/workspace/saved-work.ts";
import type { CommandContext } from "../program.ts";

export interface CleanOptions {
  all?: boolean;
}

export async function listWorkspaces(context: CommandContext): Promise<undefined> {
  const { io, config, isJson } = context;
  const repositories = await listWorkArea(areaOf(context), gitOptions(context));
  const now = systemClock.now();
  for (const repository of repositories) {
    if (isJson) io.out(JSON.stringify(jsonOf(repository)));
    else for (const line of linesOf(repository, now)) io.out(line);
  }
  if (isJson) return;
  const { maxWorkMegabytes } = config.workflow.limits;
  if (repositories.length === 0) io.err("There are no workspaces");
  else io.err(`${size(totalBytes(repositories))} of ${maxWorkMegabytes} MB (max_work_megabytes)`);
}

export async function cleanWorkspaces(
  context: CommandContext,
  keys: string[],
  { all: isAll }: CleanOptions,
): Promise<undefined> {
  const { io, isJson } = context;
  if (keys.length > 0 && isAll) {
    throw new RobsonError("USAGE_INVALID", "Cannot clean the workspaces of some tasks and of all at once", {
      hint: "Name tasks, or choose with --all; without both, what the limits do not keep is removed",
    });
  }
  const request = {
    ...areaOf(context),
    now: systemClock.now(),
    isAll,
    keys: keys.length > 0 ? keys : undefined,
  };
  const { removed, forgotten, mirrors, bytes } = await cleanWorkArea(request, gitOptions(context));
  if (isJson) io.out(JSON.stringify({ removed, forgotten, mirrors, bytes }));
  if (isJson) return;
  for (const { workspace, saved } of removed) {
    const where =
      saved === undefined ? "nothing in it was unsaved" : `its files are saved under ${saved.ref}`;
    io.out(`Removed the workspace of ${workspace.key} in ${shownUrl(workspace)}: ${where}`);
  }
  for (const { ref } of forgotten) io.out(`Removed the old saved work ${ref}`);
  for (const repoUrl of mirrors) io.out(`Removed the mirror of ${shownUrl({ repoUrl })}`);
  io.err(`${count(removed.length, "workspace")} removed, ${size(bytes)} left`);
}

function areaOf({ config }: CommandContext) {
  return { workDirectory: config.workflow.workDir, tryLock: tryFileLock };
}

function gitOptions({ config }: CommandContext) {
  // Without passwords: nothing is fetched here, and whoever cleans up may not have them.
  return { limits: config.workflow.limits, signal: new AbortController().signal };
}

function linesOf({ repoUrl, places, bytes, workspaces, saved }: ListedRepository, now: number): string[] {
  const lines = [`${shownUrl({ repoUrl })}  ${size(bytes)}  ${places.folder}`];
  for (const { key, branch, state, usedAt, bytes: own, hasCheckout, saved: kept } of workspaces) {
    const files = hasCheckout ? "with a checkout" : "without a checkout";
    lines.push(`  ${key}  ${branch}  ${state}  ${relative(usedAt, now)}  ${size(own)}, ${files}`);
    lines.push(...kept.map((ref) => `    saved: ${refLine(ref, now)}`));
  }
  lines.push(...saved.map((ref) => `  saved: ${refLine(ref, now)}`));
  return lines;
}

function refLine({ ref, sha, savedAt }: ListedRef, now: number): string {
  return `${shownRef(ref)}  ${sha.slice(0, 12)}  ${relative(savedAt, now)}`;
}

function jsonOf({ repoUrl, places, ...repository }: ListedRepository) {
  return { repoUrl: withoutCredentials(repoUrl), folder: places.folder, ...repository };
}

function shownUrl({ repoUrl }: { repoUrl: string }): string {
  return withoutCredentials(repoUrl);
}

const MEGABYTE = 1024 * 1024;

function size(bytes: number): string {
  return bytes < MEGABYTE ? `${Math.ceil(bytes / 1024)} kB` : `${(bytes / MEGABYTE).toFixed(1)} MB`;
}
