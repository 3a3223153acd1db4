/**
 * Where the pull requests of the local forge are kept. Implementation: `createPullRequestStore` in
 * store/pull-requests.ts.
 */
import type { PullRequestRequest } from "./forge.ts";

export interface PullRequest extends PullRequestRequest {
  /** Counts over all repositories of the local forge. */
  number: number;
  status: "open" | "merged" | "closed";
  /** As it was opened. Absent where an older release of Robson did that, which told of it in the text alone. */
  isDraft?: boolean;
  createdAt: number;
  updatedAt: number;
}

export interface PullRequestStore {
  /** The open one of this repository, head and base with its head commit brought up to date, or a new one. */
  findOrCreate(pullRequest: PullRequestRequest): Promise<PullRequest & { isNew: boolean }>;
  find(number: number): Promise<PullRequest | undefined>;
  /** The oldest first. */
  list(filter?: { repoUrl?: string; limit?: number }): Promise<PullRequest[]>;
}
