/**
 * What a repository says about itself in its `.robson.toml`: how a change is checked, what its maintainers tell every
 * agent, which of its paths are protected. Read by Robson's git from the base commit, never from a branch or a checkout
 * that an agent has had in its hands. It can only add to what the operator has set: nothing in it widens a permission.
 */
import { parse, TomlError } from "smol-toml";
import * as z from "zod";
import { findPosition } from "../config/toml-positions.ts";
import { WorkerError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { preview } from "../core/text.ts";
import { readStaged } from "./commit.ts";
import type { WorkflowLimits } from "./limits.ts";
import { templateProblem } from "./prompt-template.ts";
import type { GitSettings, Workspace } from "./workspace.ts";

export const REPOSITORY_FILE = ".robson.toml";

/** The keys of `.robson.toml`. */
export interface RepositoryFile {
  /** The commands that must pass, each a program with its arguments. */
  verify?: string[][];
  /** A template; see prompt-template.ts. */
  prompt?: string;
  /** Protected besides those that always are. */
  protectedPaths: string[];
}

/** The row of `[[repositories]]` in robson.toml, as far as it concerns these. */
export interface ConfiguredRepository {
  verify?: string[][] | undefined;
  prompt?: string | undefined;
  protectedPaths?: string[] | undefined;
}

/** What holds for a run. Plain data: a run stores it. */
export interface RepositoryRules {
  /** Absent: what the project shows (`detectCommands`). */
  verify?: { commands: string[][]; source: string };
  template?: { text: string; source: string };
  protectedPaths: string[];
}

const MAX_COMMANDS = 20;
const MAX_ARGUMENTS = 100;
const MAX_ARGUMENT_LENGTH = 4096;
const MAX_PROMPT_LENGTH = 20_000;
const MAX_PATTERNS = 200;
const MAX_PATTERN_LENGTH = 500;

const fileSchema = z.strictObject({
  verify: z.exactOptional(
    z.array(z.array(z.string().min(1).max(MAX_ARGUMENT_LENGTH)).min(1).max(MAX_ARGUMENTS)).max(MAX_COMMANDS),
  ),
  prompt: z.exactOptional(
    z
      .string()
      .max(MAX_PROMPT_LENGTH)
      .superRefine((template, context) => {
        const problem = templateProblem(template);
        if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
      }),
  ),
  protected_paths: z
    .array(
      z
        .string()
        .min(1)
        .max(MAX_PATTERN_LENGTH)
        .refine((pattern) => !pattern.startsWith("!"), "a pattern can only add: it may not begin with !"),
    )
    .max(MAX_PATTERNS)
    .default([]),
});

/** What holds for the repository: the operator's word first, then the base's own; protected paths are those of both. */
export async function readRepositoryRules(
  workspace: Workspace,
  configured: ConfiguredRepository | undefined,
  options: GitSettings & { limits: WorkflowLimits },
): Promise<RepositoryRules> {
  const own = await readRepositoryFile(workspace, options);
  const verify = firstOf([configured?.verify, "robson.toml"], [own?.verify, REPOSITORY_FILE]);
  const prompt = firstOf([configured?.prompt, "robson.toml"], [own?.prompt, REPOSITORY_FILE]);
  return {
    ...(verify && { verify: { commands: verify.value, source: verify.source } }),
    ...(prompt && { template: { text: prompt.value, source: `the maintainers, in ${prompt.source}` } }),
    protectedPaths: [...(configured?.protectedPaths ?? []), ...(own?.protectedPaths ?? [])],
  };
}

/** The base's `.robson.toml`, or undefined where there is none. `REPOSITORY_INVALID` where it cannot be used. */
async function readRepositoryFile(
  workspace: Workspace,
  { limits, ...options }: GitSettings & { limits: WorkflowLimits },
): Promise<RepositoryFile | undefined> {
  const { baseSha, base } = workspace;
  const found = await readStaged(workspace, { tree: baseSha, name: REPOSITORY_FILE }, { limits, ...options });
  if (found === undefined) return undefined;
  const place = `${REPOSITORY_FILE} of the branch ${base} (${baseSha.slice(0, 12)})`;
  if (found.bytes > limits.maxRepositoryFileBytes) {
    throw unusable(place, {
      text: `it has ${found.bytes} bytes; the limit is maxRepositoryFileBytes (${limits.maxRepositoryFileBytes})`,
      hint: "Shorten it, or raise max_repository_file_bytes under [workflow.limits]",
    });
  }
  return parseRepositoryFile(await found.read(), place);
}

/** `place` is how errors name the file. */
export function parseRepositoryFile(toml: string, place: string = REPOSITORY_FILE): RepositoryFile {
  let document: unknown;
  try {
    document = parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = /^Invalid TOML document: ([^\n]*)/.exec(error.message)?.[1] ?? "it is not TOML";
    const text = `line ${error.line}, column ${error.column}: ${reason}`;
    throw unusable(place, { text, hint: 'Correct that line; text needs quotes, as in "npm"' });
  }
  const result = fileSchema.safeParse(document);
  if (result.success) {
    const { protected_paths: protectedPaths, ...rest } = result.data;
    return { ...rest, protectedPaths };
  }
  const [issue] = result.error.issues;
  throw unusable(
    place,
    issue === undefined ? { text: "it is not valid", hint: HINT } : problemOf(issue, toml),
  );
}

interface Problem {
  text: string;
  hint: string;
}

const KNOWN = Object.keys(fileSchema.shape);
const HINT = `Known here: ${KNOWN.join(", ")}`;

function problemOf(issue: z.core.$ZodIssue, toml: string): Problem {
  const isUnknown = issue.code === "unrecognized_keys";
  const key = isUnknown ? issue.keys[0] : undefined;
  const path = [
    ...issue.path.filter((part) => typeof part !== "symbol"),
    ...(key === undefined ? [] : [key]),
  ];
  const { line, column } = findPosition(toml, path) ?? { line: 1, column: 1 };
  const at = `line ${line}, column ${column}`;
  if (key !== undefined) {
    const meant = nearest(key, KNOWN);
    return {
      text: `${at}: a repository cannot set "${preview(key, 60)}"`,
      hint:
        meant === undefined
          ? `${HINT}; all else is for robson.toml, which the operator writes`
          : `Did you mean "${meant}"?`,
    };
  }
  const name = path.map((part) => (typeof part === "number" ? `[${part}]` : part)).join("");
  return { text: `${at}: ${name}: ${lowerFirst(issue.message)}`, hint: EXAMPLES[String(path[0])] ?? HINT };
}

const EXAMPLES: Record<string, string> = {
  verify: 'Write it as a list of commands, each a list of words: verify = [["npm", "ci"], ["npm", "test"]]',
  prompt: 'Write it as text, of several lines between """',
  protected_paths: 'Write it as a list of patterns: protected_paths = ["infra/", "*.sql"]',
};

function firstOf<T>(...given: [T | undefined, string][]): { value: T; source: string } | undefined {
  for (const [value, source] of given) if (value !== undefined) return { value, source };
  return undefined;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function unusable(place: string, { text, hint }: Problem): WorkerError {
  return new WorkerError(`Cannot use ${place}: ${text}`, {
    code: "REPOSITORY_INVALID",
    retry: "never",
    hint,
  });
}
