/**
 * Styled text before it becomes bytes for a terminal: spans, their breaking into rows of a width, and their
 * escape sequences. The only file that writes an escape sequence, so that what others wrote never does.
 */
import { graphemesOf, graphemeWidth, widthOf } from "./width.ts";

export type Color = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "gray";

export interface Style {
  bold?: boolean;
  italic?: boolean;
  underline?: boolean;
  strike?: boolean;
  dim?: boolean;
  inverse?: boolean;
  color?: Color;
}

export interface Span extends Style {
  /** Safe text without line breaks. */
  text: string;
}

/** One row of a terminal. */
export type Row = Span[];

export interface WrapOptions {
  width: number;
  /** Before the first row, as a bullet; its columns count. */
  first?: Span[];
  /** Before each further row, as wide as `first`. */
  rest?: Span[];
}

/** Breaks spans into rows at blanks, and within a word that is longer than a row. */
export function wrapSpans(spans: readonly Span[], { width, first = [], rest = first }: WrapOptions): Row[] {
  const room = Math.max(1, width - Math.max(columnsOf(first), columnsOf(rest)));
  const rows: Row[] = [];
  let row: Row = [];
  let used = 0;
  const endRow = () => {
    rows.push([...(rows.length === 0 ? first : rest), ...trimmedEnd(row)]);
    row = [];
    used = 0;
  };
  const put = (text: string, style: Span) => {
    row.push({ ...style, text });
    used += widthOf(text);
  };
  for (const { word, isBlank } of wordsOf(spans)) {
    const columns = columnsOf(word);
    if (used > 0 && used + columns > room) {
      endRow();
      if (isBlank) continue;
    }
    if (columns <= room) {
      for (const span of word) put(span.text, span);
      continue;
    }
    for (const span of word) {
      for (const grapheme of graphemesOf(span.text)) {
        if (used > 0 && used + graphemeWidth(grapheme) > room) endRow();
        put(grapheme, span);
      }
    }
  }
  endRow();
  return rows;
}

/** Breaks one line wherever its row is full, with nothing left out: for code, where blanks count. */
export function breakHard(span: Span, width: number): Row[] {
  const rows: Row[] = [];
  let text = "";
  let used = 0;
  for (const grapheme of graphemesOf(span.text)) {
    const columns = graphemeWidth(grapheme);
    if (used > 0 && used + columns > width) {
      rows.push([{ ...span, text }]);
      text = "";
      used = 0;
    }
    text += grapheme;
    used += columns;
  }
  rows.push([{ ...span, text }]);
  return rows;
}

/** The row as a terminal takes it. */
export function toAnsi(row: Row, { hasColor }: { hasColor: boolean }): string {
  return merged(row)
    .map((span) => {
      const codes = codesOf(span, hasColor);
      return codes.length === 0 ? span.text : `\u001b[${codes.join(";")}m${span.text}\u001b[0m`;
    })
    .join("");
}

/** The row's text alone. */
export function plainText(row: Row): string {
  return row.map(({ text }) => text).join("");
}

export function columnsOf(row: readonly Span[]): number {
  return row.reduce((columns, { text }) => columns + widthOf(text), 0);
}

const COLOR_CODES: Record<Color, number> = {
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  gray: 90,
};

/** NO_COLOR takes the colors; bold and its like stay, and gray becomes faint. */
function codesOf(style: Style, hasColor: boolean): number[] {
  const codes: number[] = [];
  if (style.bold) codes.push(1);
  if (style.dim || (style.color === "gray" && !hasColor)) codes.push(2);
  if (style.italic) codes.push(3);
  if (style.underline) codes.push(4);
  if (style.inverse) codes.push(7);
  if (style.strike) codes.push(9);
  if (style.color !== undefined && hasColor) codes.push(COLOR_CODES[style.color]);
  return codes;
}

/** Words and the blanks between them, in turn; a word may change its style in the middle. */
function wordsOf(spans: readonly Span[]): { word: Span[]; isBlank: boolean }[] {
  const words: { word: Span[]; isBlank: boolean }[] = [];
  for (const span of spans) {
    for (const text of span.text.match(/ +|[^ ]+/g) ?? []) {
      const isBlank = text.startsWith(" ");
      const last = words.at(-1);
      if (last && !isBlank && !last.isBlank) last.word.push({ ...span, text });
      else words.push({ word: [{ ...span, text }], isBlank });
    }
  }
  return words;
}

function trimmedEnd(row: Row): Row {
  const last = row.at(-1);
  return last && /^ +$/.test(last.text) ? row.slice(0, -1) : row;
}

const STYLE_KEYS = ["bold", "italic", "underline", "strike", "dim", "inverse", "color"] as const;

/** Neighbours of one style as one span, so that a row is not written letter by letter. */
function merged(row: Row): Row {
  const spans: Row = [];
  for (const span of row) {
    const last = spans.at(-1);
    if (last && STYLE_KEYS.every((key) => last[key] === span[key])) last.text += span.text;
    else spans.push({ ...span });
  }
  return spans;
}
