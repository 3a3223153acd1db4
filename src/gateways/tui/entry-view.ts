/** A finished entry of the conversation as rows: who speaks is told by the sign before it, not by color alone. */
import type { Entry } from "./conversation.ts";
import { renderMarkdown } from "./markdown.ts";
import { safeLine, safeText } from "./safe-text.ts";
import { type Row, type Span, type Style, wrapSpans } from "./styled.ts";
import { fitTo } from "./width.ts";

/** A question is quoted no longer than this. */
const MAX_QUOTED_COLUMNS = 60;
/** A pasted text of more lines is shown by its beginning; it was sent whole. */
export const MAX_SAID_LINES = 12;

const SIGNS: Record<Entry["kind"], Span> = {
  said: { text: "› ", color: "cyan", bold: true },
  answer: { text: "● ", color: "green" },
  failed: { text: "✗ ", color: "red", bold: true },
  notice: { text: "· ", color: "gray" },
  warning: { text: "! ", color: "yellow", bold: true },
};
const STYLES: Partial<Record<Entry["kind"], Style>> = {
  notice: { color: "gray" },
  warning: { color: "yellow" },
};

/** The rows of an entry; an answer is followed by an empty one. */
export function entryRows(entry: Entry, { width }: { width: number }): Row[] {
  const inner = Math.max(1, width - 2);
  const body =
    entry.kind === "said"
      ? saidRows(entry.text, inner)
      : renderMarkdown(entry.text, { width: inner, style: STYLES[entry.kind] ?? {} });
  const rows = body.length === 0 ? [[]] : body;
  const signed = rows.map((row, index) => [index === 0 ? SIGNS[entry.kind] : { text: "  " }, ...row]);
  const isAnswer = entry.kind === "answer" || entry.kind === "failed";
  return [...aboutRows(entry, inner), ...signed, ...(isAnswer ? [[]] : [])];
}

/** `1.4 s`, `2 min 5 s`, `1 h 3 min`. */
export function elapsedText(elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What a person typed is shown as typed, without Markdown. */
function saidRows(text: string, width: number): Row[] {
  const lines = safeText(text).replaceAll("\t", "    ").split("\n");
  const rows = lines.slice(0, MAX_SAID_LINES).flatMap((line) => wrapSpans([{ text: line }], { width }));
  const left = lines.length - MAX_SAID_LINES;
  if (left > 0) rows.push([{ text: `… ${left} more ${left === 1 ? "line" : "lines"}`, color: "gray" }]);
  return rows;
}

function aboutRows({ about, elapsedMs }: Entry, width: number): Row[] {
  const parts = [
    ...(about === undefined ? [] : [fitTo(safeLine(about), Math.min(MAX_QUOTED_COLUMNS, width - 12))]),
    ...(elapsedMs === undefined ? [] : [elapsedText(elapsedMs)]),
  ];
  return parts.length === 0 ? [] : [[{ text: `↳ ${parts.join(" · ")}`, color: "gray" }]];
}
