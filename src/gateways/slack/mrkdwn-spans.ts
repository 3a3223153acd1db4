/**
 * The inside of one line of Markdown for Slack: code spans, links, images, mentions, escapes, and `& < >` as
 * entities; emphasis is mrkdwn-emphasis.ts. Text may not ring a bell in the whole channel: mentions of people
 * and channels pass, `<!channel>` and its like become plain text, and a link's target must be a web, mail or
 * phone address, since Slack would read `<!here|x>` as a mention.
 */
import { type Run, readRun, resolveRuns, type Strong } from "./mrkdwn-emphasis.ts";

export interface SpanStyle {
  strong: Strong;
  /** Inside a link's label Slack knows no formatting and no further link. */
  isLabel: boolean;
}

export const TEXT_LINE: SpanStyle = { strong: "bold", isLabel: false };
/** A line that is bold as a whole: bold inside it is not marked again. */
export const BOLD_LINE: SpanStyle = { strong: "unmarked", isLabel: false };
const LABEL: SpanStyle = { strong: "unmarked", isLabel: true };

export function renderSpans(line: string, style: SpanStyle): string {
  const structure = readStructure(line);
  const special = new RegExp(SPECIAL, "g");
  const pieces: (string | Run)[] = [];
  let at = 0;
  for (let found = special.exec(line); found !== null; found = special.exec(line)) {
    pieces.push(line.slice(at, found.index));
    const { piece, end } = readPiece({ line, structure, style }, found.index);
    pieces.push(piece);
    at = end;
    special.lastIndex = end;
  }
  pieces.push(line.slice(at));

  const marksOf = resolveRuns(
    pieces.filter((piece) => typeof piece !== "string"),
    style,
  );
  return pieces.map((piece) => (typeof piece === "string" ? piece : marksOf(piece))).join("");
}

/** Code: every character of it, `& < >` as entities. */
export function escapeCode(code: string): string {
  return code.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const SPECIAL = /[\\`*_~[!<>&]|https?:\/\//;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const ENTITY = /&(?:amp|lt|gt);/y;
const BARE_ENTITY_START = /&(?!(?:amp|lt|gt);)/g;
/** A mention of a person or channel, or an address, as Slack writes them; also Markdown's `<https://…>`. */
const SLACK_TOKEN = /<(?:[@#][A-Za-z0-9]+|(?:https?:\/\/|mailto:|tel:)[^<>\s|]+)(?:\|[^<>]*)?>/y;
/** To its last character that is no punctuation of the sentence or emphasis around it. */
const BARE_URL = /https?:\/\/[^\s<>`]*[^\s<>`*_~.,;:!?'")\]]/y;
const LINKABLE = /^(?:https?:\/\/|mailto:|tel:)/i;

interface Context {
  line: string;
  structure: Structure;
  style: SpanStyle;
}

interface Piece {
  piece: string | Run;
  end: number;
}

function readPiece(context: Context, at: number): Piece {
  const { line, style } = context;
  switch (line[at]) {
    case "\\":
      return readEscape(line, at);
    case "`":
      return readCode(context, at);
    case "*":
    case "_":
    case "~": {
      const run = readRun(line, at);
      return { piece: run, end: at + run.length };
    }
    case "!":
    case "[":
      return readLink(context, at) ?? { piece: line.charAt(at), end: at + 1 };
    case "<":
      return (style.isLabel ? undefined : readToken(line, at)) ?? { piece: "&lt;", end: at + 1 };
    case ">":
      return { piece: "&gt;", end: at + 1 };
    case "&":
      return readMatch(ENTITY, line, at) ?? { piece: "&amp;", end: at + 1 };
    default:
      return readUrl(line, at);
  }
}

function readEscape(line: string, at: number): Piece {
  const next = line.charAt(at + 1);
  if (!ESCAPABLE.test(next)) return { piece: "\\", end: at + 1 };
  return { piece: escapeCode(next), end: at + 2 };
}

function readCode({ line, structure }: Context, at: number): Piece {
  const end = structure.codeEnds.get(at);
  if (end !== undefined) return { piece: escapeCode(line.slice(at, end)), end };
  let literalEnd = at + 1;
  while (line[literalEnd] === "`") literalEnd += 1;
  return { piece: line.slice(at, literalEnd), end: literalEnd };
}

/** `[label](url)`, and an image as a link to it. */
function readLink({ line, structure, style }: Context, at: number): Piece | undefined {
  const isImage = line[at] === "!";
  const open = isImage ? at + 1 : at;
  const close = structure.closingBrackets.get(open);
  const end = close === undefined ? undefined : structure.closingParens.get(close + 1);
  if (close === undefined || end === undefined) return undefined;
  const url = readTarget({ line, structure }, { from: close + 2, to: end });
  if (url === undefined) return undefined;

  const source = line.slice(open + 1, close);
  if (style.isLabel) return isImage ? { piece: escapeCode(source), end: end + 1 } : undefined;
  return { piece: renderLink(renderSpans(source, LABEL), url), end: end + 1 };
}

function renderLink(label: string, url: string): string {
  const address = url.replace(BARE_ENTITY_START, "&amp;").replaceAll("<", "%3C").replaceAll(">", "%3E");
  if (!LINKABLE.test(url)) return label === "" || label === address ? address : `${label} (${address})`;
  const target = address.replaceAll("|", "%7C");
  return label === "" || label === address ? `<${target}>` : `<${target}|${label}>`;
}

/** What stands in a link's parentheses, without its title; each look costs the same however long that is. */
function readTarget(
  { line, structure }: Pick<Context, "line" | "structure">,
  { from, to }: { from: number; to: number },
): string | undefined {
  if (line[from] === "<" && line[to - 1] === ">") {
    const url = line.slice(from + 1, to - 1);
    return /^[^<>]+$/.test(url) ? url : undefined;
  }
  const space = structure.nextSpace(from);
  const hasTitle = /["']/.test(line.charAt(to - 1)) && /^\s{1,8}["']/.test(line.slice(space, space + 9));
  if (space < to && !hasTitle) return undefined;
  return line.slice(from, Math.min(space, to)) || undefined;
}

function readToken(line: string, at: number): Piece | undefined {
  const token = readMatch(SLACK_TOKEN, line, at);
  return token && { ...token, piece: token.piece.replace(BARE_ENTITY_START, "&amp;") };
}

/** Only so that emphasis leaves its underscores alone; Slack finds addresses itself. */
function readUrl(line: string, at: number): Piece {
  const found = readMatch(BARE_URL, line, at);
  if (found === undefined) return { piece: line.charAt(at), end: at + 1 };
  const cutsEntity = line[found.end] === ";" && /&(?:amp|lt|gt)$/.test(found.piece.slice(-4));
  const end = cutsEntity ? found.end + 1 : found.end;
  return { piece: line.slice(at, end).replace(BARE_ENTITY_START, "&amp;"), end };
}

function readMatch(pattern: RegExp, line: string, at: number): { piece: string; end: number } | undefined {
  const sticky = new RegExp(pattern);
  sticky.lastIndex = at;
  const piece = sticky.exec(line)?.[0];
  return piece === undefined ? undefined : { piece, end: at + piece.length };
}

/** Which marks of a line belong together, found in one pass so that no later look has to search. */
interface Structure {
  codeEnds: Map<number, number>;
  closingBrackets: Map<number, number>;
  closingParens: Map<number, number>;
  nextSpace(from: number): number;
}

function readStructure(line: string): Structure {
  const structure = { codeEnds: new Map(), closingBrackets: new Map(), closingParens: new Map() };
  const closingRuns = readClosingRuns(line);
  const brackets: number[] = [];
  const parens: number[] = [];
  const mark = /\\.|`+|[[\]()]/gsu;
  for (let found = mark.exec(line); found !== null; found = mark.exec(line)) {
    const at = found.index;
    if (found[0] === "[") brackets.push(at);
    else if (found[0] === "(") parens.push(at);
    else if (found[0] === "]") closePair(brackets, structure.closingBrackets, at);
    else if (found[0] === ")") closePair(parens, structure.closingParens, at);
    const codeEnd = closingRuns.get(at);
    if (codeEnd === undefined) continue;
    structure.codeEnds.set(at, codeEnd);
    mark.lastIndex = codeEnd;
  }
  return { ...structure, nextSpace: spaceFinder(line) };
}

function closePair(open: number[], pairs: Map<number, number>, at: number): void {
  const start = open.pop();
  if (start !== undefined) pairs.set(start, at);
}

/** For each run of backticks, where the next run of the same length ends. */
function readClosingRuns(line: string): Map<number, number> {
  const ends = new Map<number, number>();
  const lastOfLength = new Map<number, number>();
  for (const { 0: run, index } of line.matchAll(/`+/g)) {
    const opener = lastOfLength.get(run.length);
    if (opener !== undefined) ends.set(opener, index + run.length);
    lastOfLength.set(run.length, index);
  }
  return ends;
}

/** Questions come in rising order, so that the answer to one is mostly the answer to the next. */
function spaceFinder(line: string): (from: number) => number {
  let known = -1;
  return (from) => {
    if (known >= from) return known;
    const distance = line.slice(from).search(/\s/);
    known = distance === -1 ? line.length : from + distance;
    return known;
  };
}
