/**
 * Splits the text behind a command into words, as people type them on keyboards and phones: white space of any
 * kind between, quotes of any kind around, backslashes before. One pass over the text; it never fails, and
 * says so where a quote has no end. What a word means (a key, a flag, a value) is for options.ts.
 */
import { graphemes, preview } from "../text.ts";
import { isQuote, readEscape, readQuoted } from "./quotes.ts";
import { isSpace } from "./white-space.ts";

export interface Word {
  /** Without its quotes and escapes. */
  text: string;
  /** Where it stands in the source, quotes included. */
  start: number;
  end: number;
  /** Begins with a quote: a value in any case, never a key or a flag. */
  isQuoted: boolean;
  /** Where in `text` the first `=` is that is neither quoted nor the first character; -1 without one. */
  equalsAt: number;
  /** What follows that `=` begins with a quote. */
  isValueQuoted: boolean;
}

export type Words = { ok: true; words: Word[] } | { ok: false; problem: string };

/** The words of a text, or a sentence on the quote that is never closed. */
export function splitWords(source: string): Words {
  const words: Word[] = [];
  const hopeless = new Set<string>();
  let at = skipSpace(source, 0);
  while (at < source.length) {
    const word = readWord(source, { start: at, hopeless });
    if ("unclosedAt" in word) return { ok: false, problem: unclosed(source, word.unclosedAt) };
    words.push(word);
    at = skipSpace(source, word.end);
  }
  return { ok: true, words };
}

/** A quote opens at a word's start or behind its first `=`; anywhere else it is a character, as in 5" or don't. */
function readWord(
  source: string,
  { start, hopeless }: { start: number; hopeless: Set<string> },
): Word | { unclosedAt: number } {
  const isQuoted = isQuote(source.charAt(start));
  const word: Word = { text: "", start, end: start, isQuoted, equalsAt: -1, isValueQuoted: false };
  let canOpen = true;
  while (word.end < source.length && !isWordEnd(source, word.end)) {
    const character = source.charAt(word.end);
    if (canOpen && isQuote(character)) {
      const quoted = readQuoted(source, { start: word.end, hopeless });
      if (quoted === undefined) return { unclosedAt: word.end };
      word.isValueQuoted = word.equalsAt !== -1;
      word.text += quoted.text;
      word.end = quoted.end;
      canOpen = false;
      continue;
    }
    canOpen = character === "=" && !isQuoted && word.equalsAt === -1 && word.text !== "";
    if (canOpen) word.equalsAt = word.text.length;
    const escaped = readEscape(source, word.end);
    word.text += escaped?.text ?? character;
    word.end += escaped?.length ?? 1;
  }
  return word;
}

function isWordEnd(source: string, at: number): boolean {
  return isSpace(source.charAt(at)) || continuationAt(source, at) > 0;
}

function skipSpace(source: string, start: number): number {
  let at = start;
  while (at < source.length) {
    const length = isSpace(source.charAt(at)) ? 1 : continuationAt(source, at);
    if (length === 0) return at;
    at += length;
  }
  return at;
}

/** A backslash at a line's end goes on in the next line, as in commands that are copied from a shell. */
function continuationAt(source: string, at: number): number {
  if (source[at] !== "\\") return 0;
  if (source[at + 1] === "\n") return 2;
  return source[at + 1] === "\r" && source[at + 2] === "\n" ? 3 : 0;
}

const MAX_SHOWN_GRAPHEMES = 20;

function unclosed(source: string, at: number): string {
  const position = [...graphemes(source.slice(0, at))].length + 1;
  const mark = source.charAt(at);
  const shown = preview(source.slice(at), MAX_SHOWN_GRAPHEMES);
  return `The quote ${mark} at character ${position} is never closed: ${shown} (write \\${mark} for the mark itself)`;
}
