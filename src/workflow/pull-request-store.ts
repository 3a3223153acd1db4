/**
 * Where the pull requests of the local forge are kept. Implementation: `createPullRequestStore` in
 * store/pull-requests.ts.
 */
export interface NewPullRequest {
  repoUrl: string;
  /** The branch that is to be merged, and the branch it is to be merged into. */
  head: string;
  base: string;
  title: string;
  body: string;
  headSha: string;
}

export interface PullRequest extends NewPullRequest {
  /** Counts over all repositories of the local forge. */
  number: number;
  status: "open" | "merged" | "closed";
  createdAt: number;
  updatedAt: number;
}

export interface PullRequestStore {
  /** The open one of this repository, head and base with its head commit brought up to date, or a new one. */
  findOrCreate(pullRequest: NewPullRequest): Promise<PullRequest & { isNew: boolean }>;
  find(number: number): Promise<PullRequest | undefined>;
  /** The oldest first. */
  list(filter?: { repoUrl?: string }): Promise<PullRequest[]>;
}
