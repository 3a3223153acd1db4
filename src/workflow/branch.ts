/** What is derived from a task alone, so that a second run finds what the first one made: branch, commit, markers. */
import { createHash } from "node:crypto";
import { preview } from "../core/text.ts";
import { inertPlain } from "./inert-markdown.ts";
import type { Check } from "./verify.ts";

/** The longest part of a branch name that comes from a summary. */
const MAX_SLUG_LENGTH = 40;
/** The longest title of a commit or pull request, in characters. */
const MAX_TITLE_LENGTH = 100;

const TASK_TRAILER = "Robson-Task";
const CHECK_TRAILER = "Robson-Check";
const AGENT_TRAILER = "Robson-Agent";

export const DEFAULT_BRANCH_PATTERN = "robson/{key}-{slug}";

/**
 * `robson/PROJ-1-fix-the-login-page`; letters outside a-z are left out. `{key}` and `{slug}` of the pattern are filled in;
 * where nothing is left of the summary, the slug goes with the sign before it.
 */
export function branchName(
  { key, summary }: { key: string; summary: string },
  pattern = DEFAULT_BRANCH_PATTERN,
): string {
  const words = summary
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^a-z0-9]+/g, "-");
  const slug = words.replace(/^-+/, "").slice(0, MAX_SLUG_LENGTH).replace(/-+$/, "");
  const named = slug === "" ? pattern.replace(/[-_./]?\{slug\}/g, "") : pattern.replaceAll("{slug}", slug);
  return named.replaceAll("{key}", key);
}

/** The title of the commit and of the pull request. */
export function titleOf({ key, summary }: { key: string; summary: string }): string {
  return preview(`${key}: ${inertPlain(summary).replace(/\s+/gu, " ")}`, MAX_TITLE_LENGTH);
}

export interface CommitRecord {
  summary: string;
  agent: string;
  checks: Pick<Check, "command" | "isPassed">[];
}

/**
 * The commit's message: it carries what the later steps need, in trailers, so that a run that starts after a
 * crash can write the pull request from the commit alone.
 */
export function commitMessage(ticket: { key: string; summary: string }, record: CommitRecord): string {
  const checks = record.checks.map(
    ({ command, isPassed }) => `${CHECK_TRAILER}: ${isPassed ? "passed" : "failed"} ${oneLine(command)}`,
  );
  const trailers = [
    `${TASK_TRAILER}: ${ticket.key}`,
    `${AGENT_TRAILER}: ${oneLine(record.agent)}`,
    ...checks,
  ];
  // Forges mention people and close issues by what a commit says.
  const body = record.summary.trim() === "" ? [] : [inertPlain(record.summary.trim())];
  return `${[titleOf(ticket), ...body, trailers.join("\n")].join("\n\n")}\n`;
}

/** The line that marks a commit as this task's. */
export function taskTrailer(key: string): string {
  return `${TASK_TRAILER}: ${key}`;
}

/** What a commit's message records, or undefined when it is not this task's. Only the last paragraph is believed. */
export function readCommitMessage(message: string, key: string): CommitRecord | undefined {
  const paragraphs = message.trim().split(/\n{2,}/);
  const lines = (paragraphs.at(-1) ?? "").split("\n");
  const valuesOf = (name: string) =>
    lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
  if (!valuesOf(TASK_TRAILER).includes(key)) return undefined;

  return {
    summary: paragraphs.slice(1, -1).join("\n\n"),
    agent: valuesOf(AGENT_TRAILER)[0] ?? "unknown",
    checks: valuesOf(CHECK_TRAILER).map((value) => ({
      isPassed: value.startsWith("passed "),
      command: value.slice(value.indexOf(" ") + 1),
    })),
  };
}

/** Marks the ticket's comment about these pull requests; the same ones give the same marker. */
export function commentMarker(key: string, prUrls: string[]): string {
  const digest = createHash("sha256").update(prUrls.join("\n")).digest("hex").slice(0, 12);
  return `robson:${key}:${digest}`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/gu, " ").trim();
}
