/**
 * The forge that needs no account: pull requests are rows over bare repositories. Like the real ones it
 * refuses a head that was not pushed, and has one open pull request per head and base.
 */
import { WorkerError } from "../../../core/errors.ts";
import type { Forge, PullRequestRequest } from "../../forge.ts";
import { git } from "../../git.ts";
import type { PullRequestStore } from "../../pull-request-store.ts";
import type { CallOptions } from "../../tracker.ts";

export interface LocalForgeOptions {
  pullRequests: PullRequestStore;
  /** A folder that exists, for git to stand in. Default: the process's own. */
  directory?: string;
}

/** A forge over any repository that git can reach. Its pull requests are named `robson://pull/<number>`. */
export function localForge({ pullRequests, directory = process.cwd() }: LocalForgeOptions): Forge {
  return {
    name: "local",
    async findOrCreatePullRequest(request, options) {
      await refuseUnpushed(request, { directory, ...options });
      const { number, isNew } = await pullRequests.findOrCreate(request);
      const showCommand = `robson pull-requests show ${number}`;
      return { number, isNew, showCommand, url: `robson://pull/${number}` };
    },
  };
}

async function refuseUnpushed(
  { repoUrl, head, headSha }: PullRequestRequest,
  options: CallOptions & { directory: string },
): Promise<void> {
  const listed = await git(["ls-remote", "--", repoUrl, `refs/heads/${head}`], options);
  const [sha = ""] = listed.split("\t");
  if (sha === headSha) return;
  throw new WorkerError(
    `Cannot open a pull request for "${head}": the repository has ${sha || "no such branch"}`,
    {
      retry: "later",
      hint: "Run the task again, so that its branch is pushed",
    },
  );
}
