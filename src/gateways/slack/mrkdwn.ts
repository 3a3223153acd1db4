/**
 * Markdown as Slack shows it. This file reads line by line (fences, quotes, headings, lists), mrkdwn-spans.ts
 * what stands inside a line. Fenced blocks and code spans keep every character, but for `& < >`, which Slack
 * wants as entities everywhere. Written here instead of taken from a library because those parse to a tree and
 * print it again, which loses line ends, lists' own spacing and Slack's mentions; this takes one pass, linear
 * in the text's length whatever it is made of.
 */
import { BOLD_LINE, escapeCode, renderSpans, TEXT_LINE } from "./mrkdwn-spans.ts";

interface Fence {
  /** The characters that open it: as many of them, or more, close it. */
  marker: string;
  /** Inside a quotation it also ends with that. */
  isQuoted: boolean;
}

/** The text in Slack's mrkdwn. Never throws; what it does not know it leaves as it is. */
export function markdownToMrkdwn(text: string): string {
  let fence: Fence | undefined;
  const rendered = text.split("\n").map((fullLine) => {
    const line = fullLine.endsWith("\r") ? fullLine.slice(0, -1) : fullLine;
    const lineEnd = fullLine.slice(line.length);
    const { quote, rest } = splitQuote(line);
    const isQuoted = quote !== "";

    if (fence?.isQuoted && !isQuoted) fence = undefined;
    if (fence !== undefined) {
      const code = fence.isQuoted ? rest : line;
      const before = fence.isQuoted ? quote : "";
      if (closes(code, fence)) fence = undefined;
      return before + escapeCode(code) + lineEnd;
    }

    const opening = FENCE_START.exec(rest);
    if (opening !== null && !isCodeSpan(opening)) {
      const [, indent = "", bullet = "", marker = ""] = opening;
      fence = { marker, isQuoted };
      return (
        quote +
        indent +
        renderBullet(bullet) +
        escapeCode(rest.slice(indent.length + bullet.length)) +
        lineEnd
      );
    }
    return quote + renderLine(rest) + lineEnd;
  });
  return rendered.join("\n");
}

/** A fence may be the first line of a list item. */
const FENCE_START = /^([ \t]*)((?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,}|~{3,})/;
const FENCE_END = /^[ \t]*(`{3,}|~{3,})[ \t]*$/;
const QUOTE = /^( {0,3}>[ \t]?)((?: {0,3}>[ \t]?)*)/;
const HEADING = /^ {0,3}#{1,6}[ \t]+/;
const BULLET = /^([ \t]*)([-*+][ \t]+)(?=\S)/;
const THEMATIC_BREAK = /^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$/;

/** Slack knows one level of quotation (and reads `>>>` as "all that follows"), so deeper marks become text. */
function splitQuote(line: string): { quote: string; rest: string } {
  const [all = "", first = "", deeper = ""] = QUOTE.exec(line) ?? [];
  return { quote: first + deeper.replaceAll(">", "&gt;"), rest: line.slice(all.length) };
}

function closes(line: string, fence: Fence): boolean {
  const marker = FENCE_END.exec(line)?.[1];
  return marker?.[0] === fence.marker[0] && marker !== undefined && marker.length >= fence.marker.length;
}

/** "```code```" on one line is a code span: the info text of a fence of backticks has none itself. */
function isCodeSpan(opening: RegExpExecArray): boolean {
  return opening[3]?.[0] === "`" && opening.input.includes("`", opening[0].length);
}

function renderLine(line: string): string {
  if (THEMATIC_BREAK.test(line)) return line;
  const hashes = HEADING.exec(line)?.[0];
  if (hashes !== undefined) {
    const title = withoutClosingHashes(line.slice(hashes.length).trim());
    return title === "" ? line : `*${renderSpans(title, BOLD_LINE)}*`;
  }
  const [all = "", indent = "", bullet = ""] = BULLET.exec(line) ?? [];
  return indent + renderBullet(bullet) + renderSpans(line.slice(all.length), TEXT_LINE);
}

/** Numbers stay as they are. */
function renderBullet(bullet: string): string {
  return /^[-*+]/.test(bullet) ? "• " : bullet;
}

function withoutClosingHashes(title: string): string {
  let end = title.length;
  while (title[end - 1] === "#") end -= 1;
  if (end === 0) return "";
  return title[end - 1] === " " || title[end - 1] === "\t" ? title.slice(0, end).trimEnd() : title;
}
