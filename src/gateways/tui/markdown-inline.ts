/**
 * The inline part of Markdown: one line of text to styled spans. What is no well-formed markup stays as it was
 * written; the text comes in safe, and stays safe.
 */
import type { Span, Style } from "./styled.ts";

/** A longer line is no prose; it is shown as it is, so that no line can cost more than this squared. */
const MAX_MARKUP_LENGTH = 2000;

const TOKEN = new RegExp(
  [
    "\\\\(?<escaped>[!-/:-@[-`{-~])",
    "(?<ticks>`+)(?<code>.+?)(?<!`)\\k<ticks>(?!`)",
    "!?\\[(?<label>[^\\]]*)\\]\\((?<url>[^()\\s]*(?:\\([^()\\s]*\\)[^()\\s]*)*)\\)",
    "<(?<autolink>https?:\\/\\/[^>\\s]+)>",
    "(?<![\\w*])\\*\\*\\*(?=\\S)(?<both>.*?[^\\s*])\\*\\*\\*(?!\\*)",
    "\\*\\*(?=\\S)(?<strong>.*?\\S)\\*\\*(?!\\*)",
    "(?<!\\w)__(?=\\S)(?<strong2>.*?\\S)__(?!\\w)",
    "~~(?=\\S)(?<strike>.*?\\S)~~",
    "\\*(?=[^\\s*])(?<emphasis>.*?[^\\s*])\\*(?!\\*)",
    "(?<!\\w)_(?=[^\\s_])(?<emphasis2>.*?[^\\s_])_(?!\\w)",
    ":(?<emoji>[a-z_]+):",
  ].join("|"),
  "gu",
);

/** The short names that Robson itself writes, and the most common ones beside them. */
const EMOJI: Readonly<Record<string, string>> = {
  book: "📖",
  bug: "🐛",
  hourglass: "⏳",
  information_source: "ℹ️",
  rocket: "🚀",
  tada: "🎉",
  warning: "⚠️",
  wave: "👋",
  white_check_mark: "✅",
  x: "❌",
};

/** The spans of one line. */
export function inlineSpans(text: string, style: Style = {}): Span[] {
  if (text.length > MAX_MARKUP_LENGTH) return [{ ...style, text }];
  const spans: Span[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const marked = markedSpans(match.groups ?? {}, style);
    if (marked === undefined) continue;
    if (match.index > end) spans.push({ ...style, text: text.slice(end, match.index) });
    spans.push(...marked);
    end = match.index + match[0].length;
  }
  if (end < text.length) spans.push({ ...style, text: text.slice(end) });
  return spans;
}

/** What one piece of markup stands for; undefined where it is none after all. */
function markedSpans(groups: Record<string, string | undefined>, style: Style): Span[] | undefined {
  const { escaped, code, label, url, autolink, both, strike, emoji } = groups;
  const strong = groups.strong ?? groups.strong2;
  const emphasis = groups.emphasis ?? groups.emphasis2;
  if (escaped !== undefined) return [{ ...style, text: escaped }];
  if (code !== undefined) return [{ ...style, text: withoutPadding(code), color: "cyan" }];
  if (label !== undefined) return linkSpans({ label, url: url ?? "" }, style);
  if (autolink !== undefined) return [{ ...style, text: autolink, underline: true }];
  if (both !== undefined) return inlineSpans(both, { ...style, bold: true, italic: true });
  if (strong !== undefined) return inlineSpans(strong, { ...style, bold: true });
  if (strike !== undefined) return inlineSpans(strike, { ...style, strike: true });
  if (emphasis !== undefined) return inlineSpans(emphasis, { ...style, italic: true });
  const sign = emoji === undefined ? undefined : EMOJI[emoji];
  return sign === undefined ? undefined : [{ ...style, text: sign }];
}

/** The address is always shown: a label may say anything. */
function linkSpans({ label, url }: { label: string; url: string }, style: Style): Span[] {
  if (label === url || label === "") return [{ ...style, text: url, underline: true }];
  const labelSpans = inlineSpans(label, { ...style, underline: true });
  return url === "" ? labelSpans : [...labelSpans, { ...style, text: ` (${url})`, color: "gray" }];
}

/** "`` `a` ``" means `a` with its ticks: one blank at each side belongs to the markup. */
function withoutPadding(code: string): string {
  return /^ .*[^ ].* $/.test(code) ? code.slice(1, -1) : code;
}
