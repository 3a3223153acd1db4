/**
 * The input line as rows, with the cursor's place among them. A text of many lines is a block; of one that is
 * higher than its room, the part around the cursor is shown and the rest is counted. Only that part is ever laid
 * out, so that a large paste costs no more than a small one.
 */
import type { EditedText } from "./line-editor.ts";
import { safeText } from "./safe-text.ts";
import { breakHard, type Row, type Span } from "./styled.ts";
import { widthOf } from "./width.ts";

export interface InputView {
  rows: Row[];
  cursor: { row: number; column: number };
}

export interface InputViewOptions {
  width: number;
  /** At least 3, so that the cursor's row has room between two counts. */
  maxRows: number;
  placeholder: string;
}

const SIGN: Span = { text: "› ", color: "cyan", bold: true };
const INDENT: Span = { text: "  " };
/** Of one line at most so much is laid out at either side of the cursor. */
const MAX_LINE_LENGTH = 4000;

/** The rows of what is typed. */
export function inputView(typed: EditedText, options: InputViewOptions): InputView {
  if (typed.text === "") {
    const placeholder: Span = { text: options.placeholder, color: "gray" };
    return { rows: [[SIGN, placeholder]], cursor: { row: 0, column: 2 } };
  }
  const { text, cursor } = typed;
  const lines = text.split("\n");
  const cursorLine = text.slice(0, cursor).split("\n").length - 1;
  const from = Math.max(0, cursorLine - options.maxRows);
  const to = Math.min(lines.length, cursorLine + options.maxRows + 1);
  const before = text.slice(text.lastIndexOf("\n", cursor - 1) + 1, cursor);

  const laidOut: { row: Row; line: number }[] = [];
  let cursorAt = { row: 0, column: 0 };
  for (let line = from; line < to; line += 1) {
    const { rows, cursorIn } = layOut(lines[line] ?? "", {
      width: options.width - 2,
      before: line === cursorLine ? (cursor === 0 ? "" : before) : undefined,
    });
    if (cursorIn) cursorAt = { row: laidOut.length + cursorIn.row, column: cursorIn.column };
    laidOut.push(...rows.map((row) => ({ row, line })));
  }
  return windowOf(laidOut, { cursorAt, lines: lines.length, maxRows: options.maxRows });
}

/** One line broken into rows, and where in them the cursor is when that stands in it. */
function layOut(line: string, { width, before }: { width: number; before: string | undefined }) {
  const room = Math.max(1, width - 1); // the cursor may stand behind the last character
  if (before === undefined) return { rows: breakHard({ text: shown(line.slice(0, MAX_LINE_LENGTH)) }, room) };
  const left = shown(before.slice(-MAX_LINE_LENGTH));
  const right = shown(line.slice(before.length, before.length + MAX_LINE_LENGTH));
  const rows = breakHard({ text: left + right }, room);
  let remaining = left.length;
  for (const [row, [span]] of rows.entries()) {
    const text = span?.text ?? "";
    const isLast = row === rows.length - 1;
    if (remaining < text.length || (isLast && remaining <= text.length)) {
      return { rows, cursorIn: { row, column: widthOf(text.slice(0, remaining)) } };
    }
    remaining -= text.length;
  }
  return { rows, cursorIn: { row: rows.length - 1, column: 0 } };
}

/** As many rows as there is room for, with the cursor's among them, and a word on those left out. */
function windowOf(
  laidOut: { row: Row; line: number }[],
  at: { cursorAt: { row: number; column: number }; lines: number; maxRows: number },
): InputView {
  const { cursorAt, lines, maxRows } = at;
  const room = laidOut.length <= maxRows ? maxRows : maxRows - 2;
  const from = Math.max(0, Math.min(cursorAt.row - Math.floor(room / 2), laidOut.length - room));
  const part = laidOut.slice(from, from + room);
  const above = part[0]?.line ?? 0;
  const below = lines - 1 - (part.at(-1)?.line ?? 0);
  const isCut = lines > 1 && (above > 0 || below > 0);
  const count = (text: string): Row => [{ ...INDENT }, { text, color: "gray" }];
  const rows = part.map(({ row, line }, index) => [
    line === 0 && (index > 0 ? part[index - 1]?.line !== 0 : from === 0) ? SIGN : INDENT,
    ...row,
  ]);
  const head = isCut && above > 0 ? [count(`… ${above} ${above === 1 ? "line" : "lines"} above`)] : [];
  const foot = isCut && below > 0 ? [count(`… ${below} ${below === 1 ? "line" : "lines"} below`)] : [];
  return {
    rows: [...head, ...rows, ...foot],
    cursor: { row: cursorAt.row - from + head.length, column: cursorAt.column + 2 },
  };
}

function shown(text: string): string {
  return safeText(text).replaceAll("\t", "    ").replaceAll("\n", " ");
}
