/** `robson pull-requests`: those of the local forge, which has no page to look at them. */
import { RobsonError } from "../../core/errors.ts";
import { preview } from "../../core/text.ts";
import { isDraftBody } from "../../workflow/pull-request-body.ts";
import type { PullRequest } from "../../workflow/pull-request-store.ts";
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";

const MAX_TITLE_GRAPHEMES = 80;

export async function pullRequestsList(
  { io, config, isJson }: CommandContext,
  { limit }: { limit: number },
): Promise<undefined> {
  const found = await withStore(config, (store) => store.pullRequests.list({ limit }));
  const lines = isJson ? [JSON.stringify(found.map(withDraft))] : found.map(lineOf);
  for (const line of lines) io.out(line);
  if (found.length === 0 && !isJson) io.err("There are no pull requests");
}

export async function pullRequestsShow(
  { io, config, isJson }: CommandContext,
  number: number,
): Promise<undefined> {
  const found = await withStore(config, (store) => store.pullRequests.find(number));
  if (found === undefined) {
    throw new RobsonError("NOT_FOUND", `There is no pull request ${number}`, {
      hint: "List them with: robson pull-requests list",
    });
  }
  const lines = isJson ? [JSON.stringify(withDraft(found))] : linesOf(found);
  for (const line of lines) io.out(line);
}

function withDraft(pullRequest: PullRequest): PullRequest & { isDraft: boolean } {
  return { ...pullRequest, isDraft: isDraft(pullRequest) };
}

/** Of one that an older release opened, the text is all that is known. */
function isDraft({ isDraft: kept, body }: PullRequest): boolean {
  return kept ?? isDraftBody(body);
}

/** One that is open is called a draft where it is one; what became of it counts for more. */
function statusOf(pullRequest: PullRequest): string {
  return pullRequest.status === "open" && isDraft(pullRequest) ? "draft" : pullRequest.status;
}

function lineOf(pullRequest: PullRequest): string {
  const { number, title, repoUrl, head } = pullRequest;
  return `${String(number).padEnd(4)}  ${statusOf(pullRequest).padEnd(6)}  ${preview(title, MAX_TITLE_GRAPHEMES)}  ${head}  ${repoUrl}`;
}

function linesOf(pullRequest: PullRequest) {
  const { number, title, repoUrl, head, base, headSha, createdAt, body } = pullRequest;
  return [
    `${number}  ${title}`,
    "",
    `Status:     ${statusOf(pullRequest)}`,
    `Repository: ${repoUrl}`,
    `Branch:     ${head}, into ${base}`,
    `Commit:     ${headSha}`,
    `Opened:     ${new Date(createdAt).toISOString()}`,
    `To see it:  git fetch ${quoted(repoUrl)} ${quoted(head)} && git diff ${headSha}^ ${headSha}`,
    `To take it: git merge ${headSha}`,
    "",
    body.trimEnd(),
  ];
}

/** As a shell takes it: an address is a stranger's text. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
