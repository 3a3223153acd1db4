/**
 * The words of a ticket or an agent, made fit to stand in a pull request: nobody is mentioned, no other issue closed,
 * no HTML, picture, link or command of a forge takes effect, nothing is hidden. Lists, code and emphasis stay. Code is
 * written anew, in a form that every reader of Markdown takes for code, so that all else is known to be prose.
 */
import { withoutHidden } from "./hidden-text.ts";

/** Several lines. */
export function inertMarkdown(text: string): string {
  const lines = withoutHidden(text.replace(/\r\n?/g, "\n")).text.split("\n");
  const shown: string[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const [, fence, language = ""] = FENCE.exec(line) ?? [];
    if (fence === undefined) {
      shown.push(inertBlockLine(line));
      continue;
    }
    const isClosing = (each: string) => each.trim().startsWith(fence) && /^ {0,3}[`~]+\s*$/.test(each);
    const end = lines.findIndex((each, index) => index > at && isClosing(each));
    const code = lines.slice(at + 1, end < 0 ? lines.length : end);
    shown.push(fenced(code.join("\n"), /^[\w+-]{1,20}$/.test(language.trim()) ? language.trim() : ""));
    at = end < 0 ? lines.length : end;
  }
  return shown.join("\n");
}

/** One line; line ends become blanks. */
export function inertLine(text: string): string {
  const line = withoutHidden(text.replace(/\s+/gu, " ")).text;
  let shown = "";
  let at = 0;
  for (const { 0: code, index } of line.matchAll(CODE_SPAN)) {
    shown += inertProse(line.slice(at, index)) + code;
    at = index + code.length;
  }
  return shown + inertProse(line.slice(at));
}

/**
 * For what is no Markdown: the message of a commit, a title. Forges mention people and close issues from these, too, so
 * names and numbers are set off by a blank, which everyone sees.
 */
export function inertPlain(text: string): string {
  return withoutHidden(text)
    .text.replace(/@(?=[\w-])/g, "@ ")
    .replace(/#(?=\d)/g, "# ")
    .replace(/\b(GH)-(?=\d)/gi, "$1 ")
    .replace(/\b((?:clos|fix|resolv)(?:e[sd]?|ing|es|ed)?:?)\s+(?=https?:)/gi, "$1 - ");
}

/** As a quotation, so that no line of it is taken for the frame's own. */
export function quoted(text: string): string {
  return inertMarkdown(text)
    .split("\n")
    .map((line) => `> ${line}`.trimEnd())
    .join("\n");
}

/** The text in a code block that nothing in it can close. */
export function fenced(text: string, language = ""): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;

/** A single backtick on both sides, on one line, and no other near: what every reader takes for code. */
const CODE_SPAN = /(?<!`)`[^`\n]*[^`\s][^`\n]*`(?!`)/g;

/** The marks of a list stay; headings and rules would pass for the frame's own. */
function inertBlockLine(line: string): string {
  const [, indent = "", mark = "", rest = ""] = /^(\s*)((?:[-*+]|\d{1,9}[.)])\s+)?(.*)$/s.exec(line) ?? [];
  // A row of signs, and the mark of a list alone, would make a heading of the line above.
  if (rest.trim() === "" && mark !== "") return `${indent}\\${mark.trim()}`;
  if (/^\s*(?:=+|-+|_{3,}|\*{3,})\s*$/.test(rest)) return `${indent}${mark}\\${rest.trim()}`;
  const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(rest)?.[1];
  // Deep indentation makes code of a line, in which escapes would show.
  const shallow = indent.replaceAll("\t", "  ").slice(0, MAX_INDENT);
  return `${shallow}${mark}${inertLine(heading ?? rest)}`;
}

const MAX_INDENT = 8;

/** Breaks a word without being seen, as an entity, so that the text itself hides nothing. */
const BREAK = "&#8203;";

function inertProse(prose: string): string {
  return (
    prose
      .replace(/&/g, "&amp;")
      .replace(/</g, "&lt;")
      .replace(/[\\`[\]]/g, "\\$&")
      // Before any other break, which has such a sign itself.
      .replace(/[#!~%$](?=[\w"])/g, `$&${BREAK}`)
      .replace(/#(?=[#\s]|$)/g, "\\#")
      .replace(/@(?=\S)/g, `@${BREAK}`)
      .replace(/\b(GH)-(?=\d)/gi, `$1${BREAK}-`)
      .replace(CLOSING_WORD, `$1${BREAK}$2`)
      .replace(/^(\s*)\/(?=[a-z])/i, "$1\\/")
  );
}

/** "Fixes https://…/issues/1" closes that issue when the pull request is merged. */
const CLOSING_WORD = /\b(clos|fix|resolv)(e[sd]?|ing|es|ed|s)?(?=:?\s+\S*(?:\/|GH))/gi;
