/**
 * Quotes and backslashes as people type them: straight, smart in every country's order, backticks. A mark that a
 * letter or digit follows directly does not close, so the apostrophe of 'don't' is one. Each kind of quote is
 * looked for to the text's end at most once in vain, so reading stays linear.
 */
import { isSpace } from "./white-space.ts";

export interface QuotedText {
  /** Without its quotes, its escapes resolved. */
  text: string;
  /** Behind the closing quote. */
  end: number;
}

interface QuoteKind {
  openers: string;
  /** What closes it, tried one after the other: its own marks first, then those of a mixed pair. */
  closers: string[];
  /** Nothing inside is escaped, as in Markdown's code. */
  isVerbatim?: boolean;
  /** French puts a space inside, which belongs to the quotes. */
  hasInnerSpace?: boolean;
}

const SMART_DOUBLE = "“”„‟";
const SMART_SINGLE = "‘’‚‛";
const KINDS: QuoteKind[] = [
  { openers: '"', closers: ['"', SMART_DOUBLE] },
  { openers: SMART_DOUBLE, closers: [SMART_DOUBLE, '"'] },
  { openers: "'", closers: ["'", SMART_SINGLE] },
  { openers: SMART_SINGLE, closers: [SMART_SINGLE, "'"] },
  { openers: "«»", closers: ["«»"], hasInnerSpace: true },
  { openers: "‹›", closers: ["‹›"], hasInnerSpace: true },
  { openers: "`", closers: ["`"], isVerbatim: true },
];
const MARKS = KINDS.map(({ openers }) => openers).join("");

/** Whether the character can open a quotation. */
export function isQuote(character: string): boolean {
  return MARKS.includes(character);
}

/**
 * The quotation that opens at `start`, or undefined when nothing closes it. `hopeless` remembers, for one text,
 * which closing marks are known to come no more.
 */
export function readQuoted(
  source: string,
  { start, hopeless }: { start: number; hopeless: Set<string> },
): QuotedText | undefined {
  const kind = KINDS.find(({ openers }) => openers.includes(source.charAt(start)));
  if (kind === undefined) return undefined;
  for (const closers of kind.closers) {
    const search = `${kind.openers} ${closers}`;
    if (hopeless.has(search)) continue;
    const close = findCloser(source, { from: start + 1, closers, isVerbatim: kind.isVerbatim === true });
    if (close !== -1) return { text: inside(source.slice(start + 1, close), kind), end: close + 1 };
    hopeless.add(search);
  }
  return undefined;
}

/**
 * The escape at `at`: what it stands for and how long it is. Undefined where a backslash is only a backslash, as
 * in `\d`.
 */
export function readEscape(source: string, at: number): { text: string; length: number } | undefined {
  if (source[at] !== "\\") return undefined;
  const next = source.charAt(at + 1);
  const control = CONTROLS[next];
  if (control !== undefined) return { text: control, length: 2 };
  const isEscapable = next !== "" && (next === "\\" || isQuote(next) || isSpace(next));
  return isEscapable ? { text: next, length: 2 } : undefined;
}

const CONTROLS: Partial<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

/** Cased letters and digits: those of scripts without spaces between words may follow a closing quote. */
const GOES_ON = /[\p{Lu}\p{Ll}\p{Lt}\p{Nd}]/uy;

function findCloser(
  source: string,
  { from, closers, isVerbatim }: { from: number; closers: string; isVerbatim: boolean },
): number {
  for (let at = from; at < source.length; at += 1) {
    const character = source.charAt(at);
    if (character === "\\" && !isVerbatim) at += 1;
    else if (closers.includes(character)) {
      GOES_ON.lastIndex = at + 1;
      if (!GOES_ON.test(source)) return at;
    }
  }
  return -1;
}

function inside(quoted: string, kind: QuoteKind): string {
  if (kind.isVerbatim) return quoted;
  const text = kind.hasInnerSpace
    ? quoted.replace(/^[ \u00a0\u202f]/, "").replace(/[ \u00a0\u202f]$/, "")
    : quoted;
  return text.includes("\\") ? unescapeAll(text) : text;
}

function unescapeAll(text: string): string {
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const escaped = readEscape(text, at);
    plain += escaped?.text ?? text.charAt(at);
    at += escaped?.length ?? 1;
  }
  return plain;
}
