/**
 * Puts files of a checkout back to what a commit or tree has, by Robson's git with an index of its own. Git does not
 * write through a link that stands in a folder's place, so nothing outside of the checkout is reached. For while nothing
 * runs in the checkout; safe to repeat, and a crash leaves some of the files restored.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { byteLength } from "../core/text.ts";
import type { InRobsonsRepository } from "./gates/staged-change.ts";
import { type GitOptions, git } from "./git.ts";

export interface RestoreRequest {
  checkout: string;
  /** The commit or tree. */
  from: string;
  /** A folder of Robson's, out of the agent's reach: `workspace.places.own`. */
  own: string;
}

const MAX_ARGUMENT_BYTES = 64 * 1024;

/** Restores those of the paths that differ, and returns them. Each has to be in the commit. */
export async function restoreFiles(
  request: RestoreRequest,
  paths: readonly string[],
  inRepository: InRobsonsRepository,
): Promise<string[]> {
  if (paths.length === 0) return [];
  return withIndex(request, inRepository, async (inCheckout) => {
    const restored: string[] = [];
    for (const batch of batches(paths)) restored.push(...(await restoreDiffering(batch, inCheckout)));
    return restored;
  });
}

/**
 * Takes away what the checks left in the checkout: the files are those of the staged tree again. What `.gitignore` names
 * (installed packages, caches) stays. For between the checks and the agent's next turn: otherwise that turn's change
 * would hold their reports and snapshots. Whatever is not in the tree is lost, so only for a tree that was just staged.
 */
export async function removeCheckLeftovers(
  request: RestoreRequest,
  inRepository: InRobsonsRepository,
): Promise<void> {
  await withIndex(request, inRepository, async (inCheckout) => {
    // Twice forced, because a repository that a check has made in there is a leftover like any other.
    await git(["clean", "--quiet", "-ffd", "--", "."], inCheckout);
    await restoreDiffering([], inCheckout);
  });
}

async function withIndex<T>(
  { checkout, from, own }: RestoreRequest,
  inRepository: InRobsonsRepository,
  work: (inCheckout: GitOptions) => Promise<T>,
): Promise<T> {
  const indexFile = join(own, "restore-index");
  for (const file of [indexFile, `${indexFile}.lock`]) await rm(file, { recursive: true, force: true });
  const environment = {
    ...inRepository.environment,
    GIT_INDEX_FILE: indexFile,
    GIT_WORK_TREE: checkout,
    GIT_LITERAL_PATHSPECS: "1",
  };
  const inCheckout: GitOptions = { ...inRepository, directory: checkout, environment };
  await git(["read-tree", from], inCheckout);
  try {
    return await work(inCheckout);
  } finally {
    await rm(indexFile, { force: true });
  }
}

// `diff` compares contents where `diff-files` would go by the index, which knows no file's times.
const DIFFERING = [
  "diff",
  "-z",
  "--name-only",
  "--no-renames",
  "--no-ext-diff",
  "--no-textconv",
  "--ignore-submodules=all",
];

/** Without paths: all that differ. */
async function restoreDiffering(paths: readonly string[], inCheckout: GitOptions): Promise<string[]> {
  const differing = (await git([...DIFFERING, "--", ...paths], inCheckout)).split("\0").slice(0, -1);
  for (const batch of batches(differing))
    await git(["checkout-index", "--force", "--", ...batch], inCheckout);
  return differing;
}

function batches(paths: readonly string[]): string[][] {
  const found: string[][] = [];
  let room = 0;
  for (const path of paths) {
    const bytes = byteLength(path) + 1;
    if (bytes > room) {
      found.push([]);
      room = MAX_ARGUMENT_BYTES;
    }
    found.at(-1)?.push(path);
    room -= bytes;
  }
  return found;
}
