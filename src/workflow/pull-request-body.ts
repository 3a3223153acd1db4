/** What people read of a run: the pull request, the comment on the ticket, and the answer in the thread. Markdown. */
import type { PullRequestReference } from "./forge.ts";
import type { Check } from "./verify.ts";

export interface RepositoryReport {
  url: string;
  branch: string;
  base: string;
  commit: string;
  diffStat: string;
  /** What the agent says it did. */
  summary: string;
  agent: string;
  checks: Pick<Check, "command" | "isPassed">[];
  pullRequest: PullRequestReference;
}

export interface RunReport {
  key: string;
  summary: string;
  repositories: RepositoryReport[];
  elapsedMs: number;
}

/** The body of a pull request: what was asked, what changed, what was run, what was not verified. */
export function pullRequestBody(
  ticket: { key: string; summary: string; description: string; url?: string },
  change: Pick<RepositoryReport, "diffStat" | "summary" | "agent" | "checks">,
): string {
  const reference = ticket.url ? `[${ticket.key}](${ticket.url})` : ticket.key;
  const description = ticket.description.trim() === "" ? "" : `\n\n${quoted(ticket.description.trim())}`;
  return `## What was asked

${reference}: ${ticket.summary}${description}

## What changed

${change.summary.trim() === "" ? "The agent gave no summary." : quoted(change.summary.trim())}

${fenced(change.diffStat)}

## What was run

${checkList(change.checks)}

## What was not verified

${change.checks.length === 0 ? "Anything: the project shows no checks. " : "Anything beyond the commands above. "}The change was written by the agent "${change.agent}"; nobody has read it yet.
`;
}

/** The comment on the ticket. */
export function ticketComment(report: Pick<RunReport, "repositories">): string {
  const lines = report.repositories.map(
    ({ pullRequest, branch, checks }) =>
      `- ${pullRequest.url} (branch \`${branch}\`; ${checks.length === 0 ? "not verified" : "checks passed"})`,
  );
  return `Robson has opened a pull request for review:\n\n${lines.join("\n")}`;
}

/** The answer in the thread. */
export function finalAnswer(report: RunReport): string {
  const parts = report.repositories.map(
    ({ pullRequest, branch, commit, diffStat, checks }) =>
      `Pull request: ${pullRequest.url}${shownBy(pullRequest)}
Branch: \`${branch}\` at \`${commit.slice(0, 12)}\`

${fenced(diffStat)}

${checkList(checks)}`,
  );
  return `**${report.key}** is ready for review: ${report.summary}\n\n${parts.join("\n\n")}`;
}

function shownBy({ showCommand }: PullRequestReference): string {
  return showCommand === undefined ? "" : ` (\`${showCommand}\`)`;
}

/** The text in a code block that nothing in it can close. */
export function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

function checkList(checks: RepositoryReport["checks"]): string {
  if (checks.length === 0) return "No check was run: the project shows none.";
  return checks
    .map(({ command, isPassed }) => `- \`${command}\` ${isPassed ? "passed" : "failed"}`)
    .join("\n");
}

function quoted(text: string): string {
  return text
    .split(/\r\n|[\n\r]/)
    .map((line) => `> ${line}`.trimEnd())
    .join("\n");
}
