/**
 * The text that is being typed and the place of the cursor in it: pure edits, by grapheme, over one line or
 * many. Knows no keys and no screen.
 */
import { graphemesOf } from "./width.ts";

export interface EditedText {
  text: string;
  /** An index into `text`, always between two graphemes. */
  cursor: number;
}

export type Edit =
  | { type: "insert"; text: string }
  | {
      type:
        | "left"
        | "right"
        | "word-left"
        | "word-right"
        | "line-start"
        | "line-end"
        | "up"
        | "down"
        | "delete-left"
        | "delete-right"
        | "delete-word-left"
        | "delete-word-right"
        | "delete-to-line-start"
        | "delete-to-line-end";
    };

export const EMPTY_TEXT: EditedText = { text: "", cursor: 0 };

/** The text with the cursor at its end. */
export function textOf(text: string): EditedText {
  return { text, cursor: text.length };
}

/** What one edit makes of the text; the same object when it changes nothing. */
export function edit(state: EditedText, change: Edit): EditedText {
  const { text, cursor } = state;
  const moveTo = (place: number) => (place === cursor ? state : { text, cursor: place });
  const deleteTo = (place: number) => {
    const [from, to] = place < cursor ? [place, cursor] : [cursor, place];
    return from === to ? state : { text: text.slice(0, from) + text.slice(to), cursor: from };
  };
  switch (change.type) {
    case "insert":
      return {
        text: text.slice(0, cursor) + change.text + text.slice(cursor),
        cursor: cursor + change.text.length,
      };
    case "left":
      return moveTo(graphemeBefore(state));
    case "right":
      return moveTo(graphemeAfter(state));
    case "word-left":
      return moveTo(wordBefore(state));
    case "word-right":
      return moveTo(wordAfter(state));
    case "line-start":
      return moveTo(startOfLineAt(text, cursor));
    case "line-end":
      return moveTo(lineEnd(state));
    case "up":
      return moveTo(lineAbove(state));
    case "down":
      return moveTo(lineBelow(state));
    case "delete-left":
      return deleteTo(graphemeBefore(state));
    case "delete-right":
      return deleteTo(graphemeAfter(state));
    case "delete-word-left":
      return deleteTo(wordBefore(state));
    case "delete-word-right":
      return deleteTo(wordAfter(state));
    case "delete-to-line-start":
      return deleteTo(startOfLineAt(text, cursor));
    case "delete-to-line-end":
      return deleteTo(lineEnd(state));
  }
}

/** Whether the cursor stands in the first, or in the last, line of the text. */
export function isInFirstLine({ text, cursor }: EditedText): boolean {
  return !text.slice(0, cursor).includes("\n");
}

export function isInLastLine({ text, cursor }: EditedText): boolean {
  return !text.slice(cursor).includes("\n");
}

/** A grapheme is looked for no further than this many code units; longer ones exist only to do harm. */
const MAX_GRAPHEME_LENGTH = 64;

function graphemeBefore({ text, cursor }: EditedText): number {
  const near = text.slice(Math.max(0, cursor - MAX_GRAPHEME_LENGTH), cursor);
  return cursor - (graphemesOf(near).at(-1)?.length ?? 0);
}

function graphemeAfter({ text, cursor }: EditedText): number {
  return cursor + (graphemesOf(text.slice(cursor, cursor + MAX_GRAPHEME_LENGTH))[0]?.length ?? 0);
}

// By graphemes: a sign may carry a mark that alone would count as part of a word.
function wordBefore({ text, cursor }: EditedText): number {
  return cursor - pastWord(graphemesOf(text.slice(0, cursor)).reverse());
}

function wordAfter({ text, cursor }: EditedText): number {
  return cursor + pastWord(graphemesOf(text.slice(cursor)));
}

/** The length of what is no word, and of the word behind it. */
function pastWord(graphemes: readonly string[]): number {
  const isWord = graphemes.map((grapheme) => /[\p{L}\p{N}_]/u.test(grapheme));
  const start = isWord.indexOf(true);
  const end = start === -1 ? -1 : isWord.indexOf(false, start);
  return (end === -1 ? graphemes : graphemes.slice(0, end)).join("").length;
}

function startOfLineAt(text: string, place: number): number {
  return place === 0 ? 0 : text.lastIndexOf("\n", place - 1) + 1;
}

function lineEnd({ text, cursor }: EditedText): number {
  const end = text.indexOf("\n", cursor);
  return end === -1 ? text.length : end;
}

function lineAbove(state: EditedText): number {
  const start = startOfLineAt(state.text, state.cursor);
  return start === 0
    ? state.cursor
    : sameColumn(state, { from: startOfLineAt(state.text, start - 1), to: start - 1 });
}

function lineBelow(state: EditedText): number {
  const end = lineEnd(state);
  if (end === state.text.length) return state.cursor;
  return sameColumn(state, { from: end + 1, to: lineEnd({ text: state.text, cursor: end + 1 }) });
}

/** As many graphemes into the other line as the cursor stands in its own, or that line's end. */
function sameColumn({ text, cursor }: EditedText, line: { from: number; to: number }): number {
  const column = graphemesOf(text.slice(startOfLineAt(text, cursor), cursor)).length;
  return line.from + graphemesOf(text.slice(line.from, line.to)).slice(0, column).join("").length;
}
