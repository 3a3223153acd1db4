/** What people read of a run: the pull request, the comment on the ticket, and the answer in the thread. Markdown. */
import { preview } from "../core/text.ts";
import type { AgentUsage } from "./coding-agent.ts";
import type { PullRequestReference } from "./forge.ts";
import { GATE_KEYS, type Verdict } from "./gates/policy.ts";
import { fenced, inertLine, quoted } from "./inert-markdown.ts";
import { durationShown, usageLines } from "./usage-shown.ts";
import { type Check, type CheckOutcome, isVerified } from "./verify.ts";

/** A check as it is kept with a commit, or with all that is known of it. */
export type ReportedCheck = Pick<Check, "command" | "isPassed"> & Partial<Check>;

export interface RepositoryReport {
  url: string;
  branch: string;
  base: string;
  commit: string;
  diffStat: string;
  /** What the agent says it did. */
  summary: string;
  agent: string;
  checks: ReportedCheck[];
  /** Of all turns together; empty where nothing of it is known. */
  usage?: AgentUsage;
  pullRequest: PullRequestReference;
  /** Why it is a draft; absent, or none, where it is not. */
  draftReasons?: string[];
}

export interface RunReport {
  key: string;
  summary: string;
  repositories: RepositoryReport[];
  elapsedMs: number;
}

/** What the gates had to say, and who let through what they asked about. */
export interface GatesReported {
  verdicts: Verdict[];
  /** Who said that the change may go, where a gate asked. */
  allowedBy?: string;
}

/** What a pull request tells of its change. What is absent is not known, and called so. */
export interface ReportedChange {
  diffStat: string;
  summary: string;
  agent: string;
  checks: ReportedCheck[];
  usage?: AgentUsage | undefined;
  elapsedMs?: number | undefined;
  gates?: GatesReported | undefined;
  /** What was left out of the ticket's words; see `describeHidden`. */
  hidden?: string | undefined;
}

/** `[workflow] pull_requests`. */
export type PullRequestPolicy = "ready" | "draft";

/** How much of a ticket's and of an agent's words is shown, in characters. Forges take 32,000 and more of a body. */
const MAX_QUOTED = 8000;

/**
 * Why the pull request is to be a draft; none: it is ready for review. The one rule: a draft where the configuration wants
 * drafts, where anything was not verified that could have been, and where a person let something through a gate.
 */
export function draftReasons(
  { checks, gates }: Pick<ReportedChange, "checks" | "gates">,
  policy: PullRequestPolicy,
): string[] {
  const asked = gates?.verdicts.filter(({ decision }) => decision === "ask") ?? [];
  return [
    ...(policy === "draft" ? ["the configuration wants drafts"] : []),
    ...(checks.length === 0 ? ["no check was run"] : []),
    ...(checks.length > 0 && !isVerified(checks) ? ["not all checks passed"] : []),
    ...(asked.length > 0 ? ["a person let through what a gate asked about"] : []),
  ];
}

/** The body of a pull request: what was asked, what changed, what was run, what was not verified, what it cost. */
export function pullRequestBody(
  ticket: { key: string; summary: string; description: string; url?: string },
  change: ReportedChange,
  policy: PullRequestPolicy = "ready",
): string {
  const drafted = draftReasons(change, policy);
  const sections: [title: string, text: string][] = [
    ["What was asked", whatWasAsked(ticket)],
    ["What changed", whatChanged(change)],
    ["What was run", checkList(change.checks)],
    ["What was not verified", list(notVerified(change))],
    ["Cost and time", list([...usageLines(change.usage), `Time: ${durationShown(change.elapsedMs)}`])],
    ["How to ask for changes", HOW_TO_ASK],
  ];
  const head = drafted.length === 0 ? [] : [`${DRAFT}, because ${drafted.join(", and ")}.`];
  return `${[...head, ...sections.map(([title, text]) => `## ${title}\n\n${text}`)].join("\n\n")}\n`;
}

/** How the text of one that is a draft begins. */
const DRAFT = "**Draft**";

/** Whether the text of a pull request says that it is a draft: all that is known where nothing else keeps it. */
export function isDraftBody(body: string): boolean {
  return body.startsWith(DRAFT);
}

/** The comment on the ticket. */
export function ticketComment(report: Pick<RunReport, "repositories">): string {
  const lines = report.repositories.map(
    ({ pullRequest, branch, checks }) => `- ${pullRequest.url} (branch \`${branch}\`; ${inShort(checks)})`,
  );
  return `Robson has opened a pull request for review:\n\n${lines.join("\n")}`;
}

/** The answer in the thread. */
export function finalAnswer(report: RunReport): string {
  const isDraft = report.repositories.some(({ draftReasons: drafted = [] }) => drafted.length > 0);
  const how = isDraft ? "done, as a draft" : "ready for review";
  return `**${report.key}** is ${how}: ${report.summary}\n\n${pullRequestsShown(report.repositories)}`;
}

/** Each pull request with what a person wants to know of it first. */
export function pullRequestsShown(repositories: readonly RepositoryReport[]): string {
  return repositories.map(pullRequestShown).join("\n\n");
}

function pullRequestShown(report: RepositoryReport): string {
  const { pullRequest, branch, commit, diffStat, checks, usage = {}, draftReasons: drafted = [] } = report;
  const [what, why] =
    drafted.length === 0
      ? ["Pull request", ""]
      : ["Draft pull request", `, because ${drafted.join(", and ")}`];
  return `${what}: ${pullRequest.url}${shownBy(pullRequest)}${why}
Branch: \`${branch}\` at \`${commit.slice(0, 12)}\`

${fenced(diffStat)}

${[checkList(checks), ...(Object.keys(usage).length === 0 ? [] : [list(usageLines(usage))])].join("\n")}`;
}

function shownBy({ showCommand }: PullRequestReference): string {
  return showCommand === undefined ? "" : ` (\`${showCommand}\`)`;
}

function inShort(checks: ReportedCheck[]): string {
  if (checks.length === 0) return "not verified";
  return isVerified(checks) ? "checks passed" : "checks did not pass";
}

function whatWasAsked(ticket: { key: string; summary: string; description: string; url?: string }): string {
  const isLink = ticket.url !== undefined && /^https?:\/\/[^\s()<>[\]]+$/.test(ticket.url);
  const reference = isLink ? `[${ticket.key}](${ticket.url})` : ticket.key;
  const description = ticket.description.trim();
  const quotation = description === "" ? "" : `\n\n${quoted(preview(description, MAX_QUOTED))}`;
  return `${reference}: ${inertLine(ticket.summary)}${quotation}`;
}

function whatChanged({ summary, agent, diffStat }: ReportedChange): string {
  const said = summary.trim();
  const words =
    said === ""
      ? "The agent gave no summary."
      : `In the words of the agent ${inertLine(agent)}:\n\n${quoted(preview(said, MAX_QUOTED))}`;
  return `${words}\n\n${fenced(diffStat)}`;
}

function checkList(checks: ReportedCheck[]): string {
  if (checks.length === 0) return "No check was run: the project shows none.";
  return checks.map((check) => `- ${codeOf(check.command)} ${endShown(check)}`).join("\n");
}

const OUTCOMES: Record<CheckOutcome, string> = {
  passed: "passed",
  failed: "failed",
  "timed-out": "timed out",
  "not-run": "was not run",
};

function endShown({
  isPassed,
  outcome = isPassed ? "passed" : "failed",
  durationMs,
  why,
}: ReportedCheck): string {
  const took = durationMs === undefined || outcome === "not-run" ? [] : [durationShown(durationMs)];
  const facts = [...took, ...(isPassed || why === undefined ? [] : [inertLine(why)])];
  return `${OUTCOMES[outcome]}${facts.length === 0 ? "" : ` (${facts.join("; ")})`}`;
}

function notVerified({ checks, agent, gates, hidden }: ReportedChange): string[] {
  const unpassed = checks.filter(({ isPassed }) => !isPassed).map(({ command }) => codeOf(command));
  const beyond =
    checks.length === 0 ? "Anything: the project shows no checks" : "Anything beyond the commands above";
  const allowed = (gates?.verdicts ?? []).map(({ gate, decision, reason }) => {
    const by =
      decision === "ask" ? `let through by ${inertLine(gates?.allowedBy ?? "a person")}` : "let through";
    return `${reason} (\`${GATE_KEYS[gate]}\`; ${by})`;
  });
  return [
    ...(unpassed.length === 0 ? [] : [`What did not pass: ${unpassed.join(", ")}`]),
    `${beyond}. The change was written by the agent ${inertLine(agent)}; nobody has read it yet`,
    ...allowed,
    ...(hidden === undefined ? [] : [hidden]),
  ];
}

const HOW_TO_ASK =
  "Push to this branch, or comment here for whoever looks after it: Robson does not read comments yet. What can be a change of its own is asked for with `/do <what is to change> repo=<address>`, where this one was asked for.";

function codeOf(command: string): string {
  return `\`${command.replace(/`/g, "'").replace(/\s+/gu, " ")}\``;
}

function list(lines: string[]): string {
  return lines.map((line) => `- ${line}`).join("\n");
}
