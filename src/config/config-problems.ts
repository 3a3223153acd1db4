/**
 * Turns what is wrong with a robson.toml into sentences for its writer: where it stands, what was met, what
 * is expected, which key was probably meant. Never shows the value of anything that looks like a secret.
 */

import type { TomlError } from "smol-toml";
import * as z from "zod";
import { RobsonError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { preview } from "../core/text.ts";
import { configSchema } from "./config-schema.ts";
import { findPosition, type KeyPath } from "./toml-positions.ts";

/** One mistake. Its path tells where it stands. */
export interface Problem {
  path: KeyPath;
  text: string;
  hint: string;
}

/** The document that the problems are in. */
export interface ConfigSource {
  /** As the user knows it: the path he gave. */
  file: string;
  toml: string;
}

/** How many problems one error lists. */
const MAX_LISTED_PROBLEMS = 10;
const MAX_SHOWN_GRAPHEMES = 120;

const SECRET_NAME = /token|secret|password|passwd|credential|api[-_]?key|private[-_]?key/i;

/** Whether a key's value may be a secret, to be shown nowhere. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** The environment variable that a secret of each section belongs in. */
const VARIABLES: Record<string, string> = {
  server: "ROBSON_TOKEN",
  webhook: "ROBSON_WEBHOOK_SECRET",
  database: "ROBSON_DATABASE_URL",
};

/** The error for a document that is not TOML: the place, and the line with a mark under it. */
export function syntaxError(source: ConfigSource, cause: TomlError): RobsonError {
  const line = source.toml.split(/\r?\n/)[cause.line - 1] ?? "";
  const reason = /^Invalid TOML document: (.*)/.exec(cause.message)?.[1] ?? "it is not TOML";
  // The parser's own message quotes the line and its neighbours; one of them may hold a secret. So no cause.
  return new RobsonError(
    "CONFIG_INVALID",
    `Cannot read ${source.file}: line ${cause.line}, column ${cause.column}: ${reason}\n${frame(line, cause)}`,
    { hint: 'Correct that line; text needs quotes, as in host = "127.0.0.1"' },
  );
}

/** The error for a document whose keys or values are wrong, with all of its problems in their order. */
export function problemsError(source: ConfigSource, problems: Problem[]): RobsonError {
  const placed = problems
    .map((problem) => ({
      ...problem,
      place: findPosition(source.toml, problem.path) ?? { line: 1, column: 1 },
    }))
    .sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column);
  const sentences = placed.map(({ place, text }) => `line ${place.line}, column ${place.column}: ${text}`);
  if (placed.length === 1) {
    return new RobsonError("CONFIG_INVALID", `Cannot use ${source.file}: ${sentences[0]}`, {
      hint: placed[0]?.hint ?? "",
    });
  }
  const listed = placed
    .slice(0, MAX_LISTED_PROBLEMS)
    .map(({ hint }, index) => `  ${sentences[index]} (${hint})`);
  const rest = placed.length - listed.length;
  const lines = rest > 0 ? [...listed, `  and ${rest} more`] : listed;
  return new RobsonError(
    "CONFIG_INVALID",
    `Cannot use ${source.file}: it has ${placed.length} mistakes\n${lines.join("\n")}`,
    { hint: "Correct these lines; robson.example.toml shows every key with its default" },
  );
}

/** The problems behind what the schema refused. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], document: unknown): Problem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.filter((part) => typeof part !== "symbol");
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(path, key));
    return [wrongValue(issue, { path, value: valueAt(document, path) })];
  });
}

/** A secret that stands in the file, where everyone who sees the file sees it. */
export function secretInFile(path: KeyPath): Problem {
  const isInbound = /inbound/i.test(String(path.at(-1)));
  const variable = isInbound
    ? "ROBSON_WEBHOOK_INBOUND_SECRET"
    : (VARIABLES[String(path[0])] ?? variableFor(String(path.at(-1))));
  const what =
    path.join(".") === "database.url" ? "database.url holds a password" : `${show(path)} is a secret`;
  return {
    path,
    text: `${what}, and secrets must not stand in a configuration file`,
    hint: `Set ${variable} in the environment or in .env, and remove it here`,
  };
}

function variableFor(key: string): string {
  const bare = key.toLowerCase();
  if (bare === "token") return "ROBSON_TOKEN";
  if (bare.includes("webhook") || bare.includes("signing")) return "ROBSON_WEBHOOK_SECRET";
  return `ROBSON_${bare.toUpperCase().replace(/[^A-Z0-9]+/g, "_")}`;
}

function unknownKey(parent: KeyPath, key: string): Problem {
  const path = [...parent, key];
  if (SECRET_NAME.test(key)) return secretInFile(path);
  const known = knownKeys(parent);
  const meant = nearest(key, known);
  const kind = parent.length === 0 ? "section" : "key";
  return {
    path,
    text: `unknown ${kind} "${preview(key, MAX_SHOWN_GRAPHEMES)}"${parent.length === 0 ? "" : ` in [${show(parent)}]`}`,
    hint: meant === undefined ? `Known here: ${known.join(", ")}` : `Did you mean "${meant}"?`,
  };
}

/** The keys that the schema has at this place. */
function knownKeys(path: KeyPath): string[] {
  interface JsonSchema {
    properties?: Record<string, JsonSchema>;
    items?: JsonSchema;
  }
  let schema: JsonSchema | undefined = z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
  for (const part of path) schema = typeof part === "number" ? schema?.items : schema?.properties?.[part];
  return Object.keys(schema?.properties ?? {});
}

function wrongValue(issue: z.core.$ZodIssue, met: { path: KeyPath; value: unknown }): Problem {
  const place = show(met.path);
  if (met.value === undefined) {
    return { path: met.path, text: `${place} is missing`, hint: `Add it: ${expectation(issue)}` };
  }
  return {
    path: met.path,
    text: `${place} is ${valueShown(met.value)}, but must be ${expectation(issue)}`,
    hint: `Give ${place} ${expectation(issue)}, or remove the line to have the default`,
  };
}

const EXPECTED: Record<string, string> = {
  int: "a whole number",
  number: "a whole number",
  string: "a text in quotes",
  boolean: "true or false",
  array: 'a list, as in ["a", "b"]',
  object: "a table",
};

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_value")
    return `one of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
  if (issue.code === "invalid_type" && issue.expected === "array" && isCommands(issue.path)) return COMMANDS;
  if (issue.code === "invalid_type") return EXPECTED[issue.expected] ?? issue.expected;
  if (issue.code === "too_small" && issue.origin === "string") return "a text that is not empty";
  if (issue.code === "too_small" && issue.origin === "array") return "a list that is not empty";
  if (issue.code === "too_small") return `a whole number of at least ${issue.minimum}`;
  if (issue.code === "too_big") return `a whole number of at most ${issue.maximum}`;
  return issue.message;
}

/** Of `verify`, as a whole or one of its commands. */
const isCommands = (path: readonly PropertyKey[]) => path.includes("verify");
const COMMANDS = 'a list of commands, each a list of words, as in [["npm", "ci"], ["npm", "test"]]';

/** A value as it stands in a sentence. */
export function valueShown(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string")
    return value === "" ? "empty" : `the text ${preview(JSON.stringify(value), 40)}`;
  if (typeof value === "object" && value !== null) return value instanceof Date ? "a date" : "a table";
  return String(value);
}

function valueAt(document: unknown, path: KeyPath): unknown {
  let value = document;
  for (const part of path) value = (value as Record<string | number, unknown> | undefined)?.[part];
  return value;
}

/** A path as it is written: `server.port`, `repositories[1].url`. */
export function show(path: KeyPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");
}

/** The line with a mark under the column, or only its key where the value may be a secret. */
function frame(line: string, { line: number, column }: { line: number; column: number }): string {
  const prefix = `  ${number} | `;
  if (SECRET_NAME.test(line) || /:\/\/[^/\s]*@/.test(line)) {
    return `${prefix}${/^[^="']*/.exec(line)?.[0].trim() ?? ""} … (not shown: it may hold a secret)`;
  }
  const start = Math.max(0, column - MAX_SHOWN_GRAPHEMES);
  const shown = line.slice(start, start + 2 * MAX_SHOWN_GRAPHEMES).toWellFormed();
  const indent = line.slice(start, column - 1).replace(/[^\t]/g, " ");
  return `${prefix}${shown}\n${" ".repeat(prefix.length)}${indent}^`;
}
