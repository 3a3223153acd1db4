/**
 * Tables of Markdown as columns of a terminal. One that is wider than the screen is left to be shown as it is
 * written: rows that are broken would be columns no more.
 */
import { inlineSpans } from "./markdown-inline.ts";
import { columnsOf, type Row, type Span, type Style } from "./styled.ts";

/** More columns fit on no screen. */
const MAX_COLUMNS = 30;

const BAR: Span = { text: " │ ", color: "gray" };

type Alignment = "left" | "right" | "center";

/** The table that begins at `from`, without rows where it does not fit, and the line behind it; else undefined. */
export function tableAt(
  lines: readonly string[],
  { from, width, style }: { from: number; width: number; style: Style },
): { rows?: Row[]; end: number } | undefined {
  const [head, delimiters] = [lines[from] ?? "", lines[from + 1] ?? ""];
  if (!head.includes("|") || !delimiters.includes("|")) return undefined;
  const dashes = cellsOf(delimiters);
  if (!dashes.every((cell) => /^:?-+:?$/u.test(cell))) return undefined;
  const alignments = dashes.map(alignmentOf);
  const titles = cellsOf(head);
  if (titles.length !== alignments.length || titles.length > MAX_COLUMNS) return undefined;
  let end = from + 2;
  while ((lines[end] ?? "").includes("|")) end += 1;

  const cells = [
    titles.map((title) => inlineSpans(title, { ...style, bold: true })),
    ...lines.slice(from + 2, end).map((line) => {
      const texts = cellsOf(line);
      return titles.map((_, column) => inlineSpans(texts[column] ?? "", style));
    }),
  ];
  const widths = titles.map((_, column) => Math.max(1, ...cells.map((row) => columnsOf(row[column] ?? []))));
  const total = widths.reduce((sum, columns) => sum + columns, 0) + columnsOf([BAR]) * (widths.length - 1);
  if (total > width) return { end };

  const [first = [], ...others] = cells.map((row) => laidOut(row, { widths, alignments }));
  const rule: Row = [{ text: widths.map((columns) => "─".repeat(columns)).join("─┼─"), color: "gray" }];
  return { rows: [first, rule, ...others], end };
}

/** The texts between the bars; `\|` is a bar within a cell. */
function cellsOf(line: string): string[] {
  const inner = line
    .trim()
    .replace(/^\|/u, "")
    .replace(/(?<!\\)\|$/u, "");
  return inner.split(/(?<!\\)\|/u).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function alignmentOf(delimiter: string): Alignment {
  if (!delimiter.endsWith(":")) return "left";
  return delimiter.startsWith(":") ? "center" : "right";
}

function laidOut(cells: Span[][], table: { widths: number[]; alignments: Alignment[] }): Row {
  return cells.flatMap((cell, column) => {
    const space = (table.widths[column] ?? 0) - columnsOf(cell);
    const alignment = table.alignments[column] ?? "left";
    const before = alignment === "left" ? 0 : alignment === "right" ? space : Math.floor(space / 2);
    const isLast = column === cells.length - 1;
    const padded = [
      { text: " ".repeat(before) },
      ...cell,
      { text: isLast ? "" : " ".repeat(space - before) },
    ];
    return column === 0 ? padded : [BAR, ...padded];
  });
}
