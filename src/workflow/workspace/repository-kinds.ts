/**
 * What git does not do alone: files in Git LFS, whose contents lie elsewhere. Without git-lfs, a checkout holds their
 * pointers, and a change would be committed where the pointer belongs. So a repository that uses it is refused by name
 * of what is in it, or, where the operator says so, worked on with the pointers left alone.
 */
import { WorkerError } from "../../core/errors.ts";
import { preview, toStorable } from "../../core/text.ts";
import { askGit, type GitOptions, git } from "../git.ts";

/** How a repository that uses Git LFS is treated. */
export type LfsRule = "refuse" | "pointers";

/** How many patterns or files an error names. */
const MAX_NAMED = 5;
/** How many paths one git command gets as arguments. */
const MAX_PATHS = 500;

/** The patterns that a commit's attributes give to Git LFS. */
export async function lfsPatterns(sha: string, inRuns: GitOptions): Promise<string[]> {
  const attribute = "(^|[[:space:]])filter=lfs([[:space:]]|$)";
  const files = [":(glob)**/.gitattributes"];
  const found = await askGit(
    ["grep", "-h", "--no-color", "-I", "-E", "-e", attribute, sha, "--", ...files],
    inRuns,
  );
  const lines = (found ?? "").split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return [...new Set(lines.map((line) => line.trim().split(/\s+/)[0] ?? ""))];
}

/** Throws `REPOSITORY_INVALID` where the repository uses Git LFS and the rule is to refuse it. */
export function refuseLfs(repoUrl: string, { patterns, rule }: { patterns: string[]; rule: LfsRule }): void {
  if (patterns.length === 0 || rule === "pointers") return;
  throw new WorkerError(
    `Cannot work in repository ${repoUrl}: it keeps ${named(patterns)} in Git LFS, which Robson does not speak`,
    {
      code: "REPOSITORY_INVALID",
      retry: "never",
      hint: 'Where no task needs those files, set lfs = "pointers" for it in [[repositories]] of robson.toml',
    },
  );
}

/** Throws `AGENT_FAILED` where the staged change touches a file of Git LFS: it would replace a pointer by its content. */
export async function refuseChangedLfs(
  { changed, what }: { changed: readonly string[]; what: string },
  inIndex: GitOptions,
): Promise<void> {
  const touched: string[] = [];
  for (let start = 0; start < changed.length; start += MAX_PATHS) {
    const paths = changed.slice(start, start + MAX_PATHS);
    const said = (await git(["check-attr", "-z", "--cached", "filter", "--", ...paths], inIndex)).split("\0");
    for (let at = 0; at + 2 < said.length; at += 3) if (said[at + 2] === "lfs") touched.push(said[at] ?? "");
  }
  if (touched.length === 0) return;
  throw new WorkerError(
    `Cannot commit the change of ${what}: ${named(touched)} belong to Git LFS, which Robson does not speak`,
    {
      code: "AGENT_FAILED",
      retry: "never",
      hint: "Nothing was pushed. Say in the ticket that those files are to stay as they are, then run the task again",
    },
  );
}

/** A few of the names, as they can be shown. */
export function named(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMED).map((name) => preview(toStorable(name), 80));
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
}
