/**
 * Looks for secrets in what is about to leave the machine. Known formats are the library's (secretlint, loaded at the
 * first use); what it has no rule for is in secret-rules.ts; Robson's own secrets are known by their value. A comment
 * in a file cannot switch the search off. Works in parts, so that a large change does not hold up the event loop.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { AddedBlock } from "./added-lines.ts";
import { type Certainty, sightings } from "./secret-rules.ts";

/** A text to be searched: the added lines of a file, a commit's message, the text of a pull request. */
export interface SearchedText {
  /** As people call it: a path, "the commit message". */
  place: string;
  /** Where it is a file: some formats are known by its name. */
  path?: string;
  /** With lines of their own where it is a file, else one block from line 1 on. */
  blocks: AddedBlock[];
}

export interface FoundSecret {
  place: string;
  line: number;
  what: string;
  certainty: Certainty;
  /** The secret itself: for redaction only, never shown or stored. */
  value: string;
}

export interface SearchOptions {
  /** Values that must not leave, whatever they look like: tokens and passwords that Robson knows. */
  knownSecrets?: readonly string[];
  signal: AbortSignal;
}

/** How much is searched between two turns of the event loop, in characters: about 10 ms. */
const PART_LENGTH = 96 * 1024;
/** How far parts overlap, so that what lies on a border lies whole in one of them. */
const OVERLAP = 8 * 1024;
/** A shorter known value would be found in ordinary words. */
const MIN_KNOWN_LENGTH = 8;
/** A text with more secrets is not searched further: it goes nowhere anyway. */
const MAX_FOUND = 200;

/** All secrets in the texts, each place and value once. Rejects with the signal's reason when aborted. */
export async function findSecrets(
  texts: readonly SearchedText[],
  options: SearchOptions,
): Promise<FoundSecret[]> {
  const lint = await loadLibrary();
  const known = (options.knownSecrets ?? [])
    .filter(({ length }) => length >= MIN_KNOWN_LENGTH)
    .flatMap(spellings);
  const found = new Map<string, FoundSecret>();
  for (const { place, path = "text.txt", blocks } of texts) {
    if (found.size >= MAX_FOUND) break;
    const text = blocks.map((block) => block.text).join("\n");
    for (let from = 0; from === 0 || from + OVERLAP < text.length; from += PART_LENGTH - OVERLAP) {
      const part = text.slice(from, from + PART_LENGTH);
      const seen = [...knownIn(part, known), ...(await lint(path, part)), ...sightings(part)];
      for (const { index, ...sighting } of seen) {
        const line = lineAt(blocks, from + index);
        const key = JSON.stringify([place, line, sighting.value]);
        if (!isPartOfAnother({ ...sighting, place, line }, found))
          found.set(key, { place, line, ...sighting });
      }
      await turn(undefined, { signal: options.signal });
    }
  }
  return [...found.values()];
}

/** The text without these secrets. */
export function withoutSecrets(text: string, found: readonly Pick<FoundSecret, "value">[]): string {
  const values = found.map(({ value }) => value).sort((a, b) => b.length - a.length);
  return values.reduce((shown, value) => shown.replaceAll(value, "[redacted]"), text);
}

interface Seen {
  what: string;
  certainty: Certainty;
  value: string;
  index: number;
}

/** Two rules may see the same secret, one of them with what stands around it; the surer one counts, then the first. */
function isPartOfAnother(seen: FoundSecret, found: Map<string, FoundSecret>): boolean {
  for (const { place, line, value, certainty } of found.values()) {
    const isSame = place === seen.place && line === seen.line;
    const isAsSure = certainty === "sure" || seen.certainty === "likely";
    if (isSame && isAsSure && (value.includes(seen.value) || seen.value.includes(value))) return true;
  }
  return false;
}

function knownIn(text: string, known: string[]): Seen[] {
  const what = "a secret that Robson itself holds";
  return known
    .filter((value) => text.includes(value))
    .map((value) => ({ what, certainty: "sure", value, index: text.indexOf(value) }));
}

/** The value as it is, and as whoever wants to hide it would write it. */
function spellings(value: string): string[] {
  const bytes = Buffer.from(value);
  // Base64 has three spellings, by what stands before; the signs at both ends depend on the neighbours.
  const base64 = [0, 1, 2].flatMap((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    const inner = whole.slice(Math.ceil((shift * 4) / 3), -1);
    return [inner, inner.replaceAll("+", "-").replaceAll("/", "_")];
  });
  const reversed = [...value].reverse().join("");
  return [...new Set([value, encodeURIComponent(value), bytes.toString("hex"), reversed, ...base64])];
}

function lineAt(blocks: AddedBlock[], index: number): number {
  let start = 0;
  for (const { line, text } of blocks) {
    if (index <= start + text.length) return line + newlines(text.slice(0, index - start));
    start += text.length + 1;
  }
  return blocks.at(-1)?.line ?? 1;
}

function newlines(text: string): number {
  return text.split("\n").length - 1;
}

type Lint = (path: string, text: string) => Promise<Seen[]>;

/** Rules whose findings are often examples: addresses with a password in them. */
const OFTEN_EXAMPLES = /basicauth|database-connection-string/;

async function loadLibrary(): Promise<Lint> {
  const [{ lintSource }, preset] = await Promise.all([
    import("@secretlint/core"),
    import("@secretlint/secretlint-rule-preset-recommend"),
  ]);
  // That rule has comments in a file switch others off, and the file is the agent's.
  const rules = preset.rules
    .filter(({ meta }) => !meta.id.endsWith("rule-filter-comments"))
    .map((rule) => ({ id: rule.meta.id, rule }));
  return async (path, text) => {
    const ext = /\.\w{1,16}$/.exec(path)?.[0] ?? ".txt";
    const source = { filePath: path, content: text, ext, contentType: "text" as const };
    const { messages } = await lintSource({ source, options: { config: { rules }, noPhysicFilePath: true } });
    return messages.map(({ ruleId, message, range, data }) => {
      const value = keyOf(data) ?? text.slice(...range);
      const certainty = OFTEN_EXAMPLES.test(ruleId) ? "likely" : "sure";
      return { what: whatOf(message), certainty, value, index: Math.max(0, text.indexOf(value)) };
    });
  };
}

/** The library's messages are "found <what>: <the secret>". */
function whatOf(message: string): string {
  const what = /^found ([^:]{1,80}):/.exec(message)?.[1] ?? "a secret";
  return what.replace(/(\S)\(/, "$1 (");
}

function keyOf(data: unknown): string | undefined {
  if (typeof data !== "object" || data === null || !("KEY" in data)) return undefined;
  return typeof data.KEY === "string" && data.KEY !== "" ? data.KEY : undefined;
}
