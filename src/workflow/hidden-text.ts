/**
 * Text that its reader does not see: signs without a width, signs that turn the reading direction, the tags block,
 * HTML comments. In words that a person wrote it is left out, and said so, because nobody knows that he meant it; in
 * the output of programs it is spelled out, because it may be what the test is about.
 */

/** What was left out of a text. */
export interface HiddenText {
  kind: "signs" | "comment";
  /** How many characters. */
  length: number;
}

/** The text as its reader sees it, with a mark where something was hidden. */
export function withoutHidden(text: string): { text: string; hidden: HiddenText[] } {
  const hidden: HiddenText[] = [];
  const leaveOut = (comment: string) => {
    hidden.push({ kind: "comment", length: comment.length });
    return `[hidden comment of ${comment.length} characters left out]`;
  };
  const shown = segmentsOf(text)
    .map(({ kind, text: segment }) => {
      if (kind === "comment") return leaveOut(segment);
      return kind === "code" ? segment : segment.replace(LINK_COMMENT, leaveOut);
    })
    .join("");
  const visible = shown.replace(HIDDEN_SIGNS, (signs, offset: number, whole: string) => {
    if (isWritten(signs, { whole, offset })) return signs;
    const length = [...signs].length;
    hidden.push({ kind: "signs", length });
    // A few are a careless copy; a row of them is a message.
    return length < MIN_TOLD_SIGNS ? "" : `[${length} hidden characters left out]`;
  });
  return { text: visible, hidden };
}

/** The text with each hidden sign spelled out as in `\u{200b}`, and without what would steer a terminal. */
export function spellHidden(text: string): string {
  return text
    .replace(TERMINAL_SEQUENCES, "")
    .replace(/\r\n?/g, "\n")
    .replace(HIDDEN_SIGNS, (signs, offset: number, whole: string) =>
      isWritten(signs, { whole, offset })
        ? signs
        : [...signs].map((sign) => `\\u{${sign.codePointAt(0)?.toString(16)}}`).join(""),
    );
}

/** One sentence for people, or undefined when nothing was hidden. */
export function describeHidden(hidden: readonly HiddenText[]): string | undefined {
  const told = hidden.filter(({ kind, length }) => kind === "comment" || length >= MIN_TOLD_SIGNS);
  if (told.length === 0) return undefined;
  const characters = told.reduce((total, { length }) => total + length, 0);
  return `${characters} hidden characters (comments, or signs without a width) were left out of what the agent is told`;
}

const MIN_TOLD_SIGNS = 4;

/**
 * Controls but tab and line ends, private signs, and what Unicode lets programs leave out when they show a text; single
 * selectors of a sign's variant are part of it (❤️), several in a row are not.
 */
const HIDDEN_SIGNS =
  /(?:(?![\t\n\r]|\ufe0e|\ufe0f|[\ufe00-\ufe0d])[\p{Cc}\p{Co}\p{Default_Ignorable_Code_Point}\u2028\u2029\ufff9-\ufffb]|[\ufe00-\ufe0f]{2,})+/gu;

/** Colours and the like (ESC [ …), titles and links (ESC ] …), and the short ones. */
const TERMINAL_SEQUENCES = new RegExp(
  ["\\[[\\d;?]{0,32}[ -/]?[@-~]", "\\][^\\x07\\x1b]{0,2000}(?:\\x07|\\x1b\\\\)", "[()#]\\w", "[=>78cM]"]
    .map((sequence) => `\\x1b${sequence}`)
    .join("|"),
  "g",
);

/** Markdown's link definitions that lead nowhere: nothing shows them, and so they are used as comments. */
const LINK_COMMENT = /^ {0,3}\[[^\]\n]{0,100}\]:[ \t]{0,8}(?:<>|<?#>?)[^\n]*/gm;

/** Joiners and marks that writing needs: in Persian or Hindi words, in families of emoji and flags. */
function isWritten(signs: string, { whole, offset }: { whole: string; offset: number }): boolean {
  const before = whole.slice(Math.max(0, offset - 4), offset);
  const after = whole.slice(offset + signs.length, offset + signs.length + 2);
  if (signs === "\u200d" && /(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\ufe0f)$/u.test(before)) {
    return /^\p{Extended_Pictographic}/u.test(after);
  }
  if (signs === "\u200c" || signs === "\u200d") {
    return JOINING_SCRIPTS.test(before.slice(-1)) && JOINING_SCRIPTS.test(after.slice(0, 1));
  }
  return before.endsWith("\u{1f3f4}") && FLAGS.has(signs);
}

const JOINING_SCRIPTS =
  /[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gujarati}\p{Script=Gurmukhi}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Oriya}\p{Script=Sinhala}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Mongolian}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/** England, Scotland and Wales are a black flag and a word in the tags block. */
const FLAGS = new Set(
  ["gbeng", "gbsct", "gbwls"].map((name) =>
    [...name, "\u007f"].map((sign) => String.fromCodePoint(0xe0000 + (sign.codePointAt(0) ?? 0))).join(""),
  ),
);

interface Segment {
  kind: "prose" | "code" | "comment";
  text: string;
}

/** Where an HTML comment, a fenced block or code between backticks on one line begins; whichever is first swallows the rest. */
const OPENING = /<!--|^ {0,3}(`{3,}|~{3,})[^\n`]*$|(?<!`)(`{1,3})(?!`)[^`\n]{1,2000}\2(?!`)/gm;

/** The text in its parts: what stands in code is seen, what stands in a comment is not. */
function segmentsOf(text: string): Segment[] {
  const segments: Segment[] = [];
  const opening = new RegExp(OPENING);
  let proseFrom = 0;
  for (let match = opening.exec(text); match !== null; match = opening.exec(text)) {
    const end = endOfSegment(text, match);
    if (end === undefined) continue;
    segments.push({ kind: "prose", text: text.slice(proseFrom, match.index) });
    segments.push({ kind: match[0] === "<!--" ? "comment" : "code", text: text.slice(match.index, end) });
    proseFrom = end;
    opening.lastIndex = end;
  }
  return [...segments, { kind: "prose", text: text.slice(proseFrom) }];
}

/** Undefined for what is none: a comment that is not closed hides all that follows at the start of a line only. */
function endOfSegment(text: string, { 0: whole, 1: fence, index }: RegExpExecArray): number | undefined {
  if (fence !== undefined) return fenceEnd(text, { from: index + whole.length, fence });
  if (whole !== "<!--") return index + whole.length;
  const close = text.indexOf("-->", index + 4);
  if (close >= 0) return close + 3;
  return /(?:^|\n) {0,3}$/.test(text.slice(Math.max(0, index - 4), index)) ? text.length : undefined;
}

function fenceEnd(text: string, { from, fence }: { from: number; fence: string }): number {
  const closing = /^ {0,3}(`{3,}|~{3,})[ \t]*$/gm;
  closing.lastIndex = from;
  for (let close = closing.exec(text); close !== null; close = closing.exec(text)) {
    if (close[1]?.startsWith(fence)) return close.index + close[0].length;
  }
  return text.length;
}
