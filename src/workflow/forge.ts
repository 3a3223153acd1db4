/** The contract of a forge: where pull requests live. */
import type { CallOptions } from "./tracker.ts";

export interface PullRequestRequest {
  repoUrl: string;
  /** The branch that is to be merged; pushed already. */
  head: string;
  base: string;
  title: string;
  /** Markdown. */
  body: string;
  /** The commit that the head branch stands at. */
  headSha: string;
  /** Not ready for review by itself; a forge without drafts opens it as any other, and its text says so. Default: no. */
  isDraft?: boolean;
}

export interface PullRequestReference {
  url: string;
  number: number;
  /** The command that shows it, where the URL leads to no page. */
  showCommand?: string;
  /** False when an open pull request from this head to this base was adopted. */
  isNew: boolean;
}

export interface Forge {
  name: string;
  /** At most one open pull request per repository, head and base, however often this is called. */
  findOrCreatePullRequest(request: PullRequestRequest, options: CallOptions): Promise<PullRequestReference>;
}
