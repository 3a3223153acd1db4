/**
 * Markdown to rows of a terminal: headings, lists, quotes, fenced code, tables, rules, and lines that stay lines, as in
 * every chat. Takes any text from anyone; what comes out has no control character but our own styles.
 */
import { inlineSpans } from "./markdown-inline.ts";
import { tableAt } from "./markdown-table.ts";
import { safeText } from "./safe-text.ts";
import { breakHard, columnsOf, type Row, type Span, type Style, wrapSpans } from "./styled.ts";

/** Quotes within quotes beyond this are shown as they are written. */
const MAX_QUOTE_DEPTH = 5;
const MAX_LIST_INDENT = 12;
const TAB = "    ";
const RULE_COLUMNS = 20;

const FENCE = /^(?<indent> *)(?<fence>`{3,}|~{3,})[^`]*$/u;
const HEADING = /^ {0,3}(?<marks>#{1,6}) +(?<title>.*?)(?: +#+)? *$/u;
const LIST_ITEM = /^(?<indent> *)(?<bullet>[-*+]|\d{1,9}[.)]) +(?<box>\[[ xX]\] +)?(?<item>.*)$/u;
const QUOTE = /^ {0,3}> ?/u;
const RULE = /^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$/u;

export interface MarkdownOptions {
  /** The columns that a row may take. */
  width: number;
  /** Under all of the text, as a color for failures. */
  style?: Style;
}

/** The text as rows; blank lines at its ends are left out. */
export function renderMarkdown(text: string, { width, style = {} }: MarkdownOptions): Row[] {
  const lines = safeText(text).replaceAll("\t", TAB).split("\n");
  return withoutOuterBlanks(renderLines(lines, { width: Math.max(1, width), style, depth: 0 }));
}

interface Rendering {
  width: number;
  style: Style;
  depth: number;
}

function renderLines(lines: readonly string[], rendering: Rendering): Row[] {
  const rows: Row[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? "";
    const fence = FENCE.exec(line)?.groups;
    if (fence !== undefined) {
      const end = endOfFence(lines, { from: index + 1, fence: fence.fence ?? "```" });
      rows.push(...codeRows(lines.slice(index + 1, end), { indent: fence.indent?.length ?? 0, rendering }));
      index = end;
    } else if (QUOTE.test(line) && rendering.depth < MAX_QUOTE_DEPTH) {
      let end = index;
      while (QUOTE.test(lines[end] ?? "")) end += 1;
      rows.push(...quoteRows(lines.slice(index, end), rendering));
      index = end - 1;
    } else if (line.trim() === "") {
      if ((rows.at(-1)?.length ?? 0) > 0) rows.push([]);
    } else {
      const { rows: columns, end = index + 1 } = tableAt(lines, { from: index, ...rendering }) ?? {};
      rows.push(...(columns ?? lines.slice(index, end).flatMap((each) => lineRows(each, rendering))));
      index = end - 1;
    }
  }
  return rows;
}

/** A line that stands for itself: heading, rule, list item or text. */
function lineRows(line: string, { width, style }: Rendering): Row[] {
  const heading = HEADING.exec(line)?.groups;
  if (heading) {
    const isTop = heading.marks === "#";
    const title = inlineSpans(heading.title ?? "", {
      ...style,
      bold: true,
      ...(isTop && { underline: true }),
    });
    return wrapSpans(title, { width });
  }
  if (RULE.test(line)) return [[{ text: "─".repeat(Math.min(RULE_COLUMNS, width)), color: "gray" }]];
  const item = LIST_ITEM.exec(line)?.groups;
  if (item) return itemRows(item, { width, style });
  const indent = " ".repeat(Math.min(line.length - line.trimStart().length, MAX_LIST_INDENT));
  return wrapSpans(inlineSpans(line.trim(), style), { width, first: [{ text: indent }] });
}

function itemRows(
  { indent = "", bullet = "-", box, item = "" }: Record<string, string | undefined>,
  { width, style }: { width: number; style: Style },
): Row[] {
  const sign = box === undefined ? bullet.replace(/^[-*+]$/u, "•") : /x/i.test(box) ? "☑" : "☐";
  const first: Span[] = [
    { text: " ".repeat(Math.min(indent.length, MAX_LIST_INDENT)) },
    { text: `${sign} ` },
  ];
  return wrapSpans(inlineSpans(item.trim(), style), {
    width,
    first,
    rest: [{ text: " ".repeat(columnsOf(first)) }],
  });
}

function endOfFence(lines: readonly string[], { from, fence }: { from: number; fence: string }): number {
  for (let index = from; index < lines.length; index += 1) {
    const line = lines[index]?.trim() ?? "";
    if (line.startsWith(fence) && line.replaceAll(fence.charAt(0), "") === "") return index;
  }
  return lines.length;
}

function codeRows(lines: readonly string[], at: { indent: number; rendering: Rendering }): Row[] {
  const width = Math.max(1, at.rendering.width - 2);
  return lines.flatMap((line) => {
    const own = line.slice(Math.min(at.indent, line.length - line.trimStart().length));
    return breakHard({ text: own, color: "cyan" }, width).map((row) => [{ text: "  " }, ...row]);
  });
}

function quoteRows(lines: readonly string[], { width, style, depth }: Rendering): Row[] {
  const inner = lines.map((line) => line.replace(QUOTE, ""));
  const rows = renderLines(inner, { width: Math.max(1, width - 2), style, depth: depth + 1 });
  return withoutOuterBlanks(rows).map((row) => [{ text: "│ ", color: "gray" }, ...row]);
}

function withoutOuterBlanks(rows: Row[]): Row[] {
  const isFull = (row: Row) => columnsOf(row) > 0;
  return rows.slice(Math.max(0, rows.findIndex(isFull)), rows.findLastIndex(isFull) + 1);
}
