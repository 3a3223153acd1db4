/**
 * Where each key of a TOML document stands. The parser gives positions for syntax errors only; a mistake in
 * the meaning (unknown key, wrong type) needs its line too. Reads documents that the parser has accepted.
 */
import { parse } from "smol-toml";

/** A way into the document: the names of tables and keys, and the indexes of arrays. */
export type KeyPath = readonly (string | number)[];

/** Both count from 1; columns count UTF-16 units, as the parser does. */
export interface Position {
  line: number;
  column: number;
}

/**
 * The position of the key at `path`. A key that does not stand in the document has that of the nearest table
 * or array around it; an empty path, or one of which nothing is there, has none.
 */
export function findPosition(toml: string, path: KeyPath): Position | undefined {
  const offsets = readOffsets(toml);
  for (let length = path.length; length > 0; length -= 1) {
    const offset = offsets.get(keyOf(path.slice(0, length)));
    if (offset !== undefined) return positionAt(toml, offset);
  }
  return undefined;
}

/** Line and column of an offset into the text. */
function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: offset - lineStart + 1 };
}

interface Reader {
  readonly toml: string;
  at: number;
  /** The first place of each key path. */
  readonly offsets: Map<string, number>;
  /** How many `[[…]]` headers each array of tables has had. */
  readonly arrays: Map<string, number>;
}

function readOffsets(toml: string): Map<string, number> {
  const reader: Reader = { toml, at: 0, offsets: new Map(), arrays: new Map() };
  let table: KeyPath = [];
  skip(reader, BLANKS_AND_COMMENTS);
  while (reader.at < toml.length) {
    if (toml[reader.at] === "[") table = readHeader(reader);
    else readAssignment(reader, table);
    skip(reader, BLANKS_AND_COMMENTS);
  }
  return reader.offsets;
}

const BLANKS = /[ \t]*/y;
const BLANKS_AND_COMMENTS = /(?:[ \t\r\n\u{FEFF}]|#[^\n]*)*/uy;
const BARE_KEY = /[A-Za-z0-9_-]+/y;
const BASIC_STRING = /"(?:[^"\\]|\\.)*"/y;
const LITERAL_STRING = /'[^']*'/y;
const LONG_BASIC_STRING = /"""(?:[^\\]|\\[\s\S])*?"{3,5}/y;
const LONG_LITERAL_STRING = /'''[\s\S]*?'{3,5}/y;
const BARE_VALUE = /[^,\]}#\n]*/y;

/** `[table]` or `[[array of tables]]`; returns the path that the following keys belong to. */
function readHeader(reader: Reader): KeyPath {
  const isArray = reader.toml[reader.at + 1] === "[";
  reader.at += isArray ? 2 : 1;
  const segments = readKey(reader);
  reader.at += isArray ? 2 : 1;

  let path: KeyPath = [];
  for (const [index, segment] of segments.entries()) {
    path = [...path, segment.name];
    remember(reader, path, segment.offset);
    const isNewEntry = isArray && index === segments.length - 1;
    const count = (reader.arrays.get(keyOf(path)) ?? 0) + (isNewEntry ? 1 : 0);
    if (count === 0) continue;
    reader.arrays.set(keyOf(path), count);
    path = [...path, count - 1];
    remember(reader, path, segment.offset);
  }
  return path;
}

function readAssignment(reader: Reader, table: KeyPath): void {
  let path = table;
  for (const segment of readKey(reader)) {
    path = [...path, segment.name];
    remember(reader, path, segment.offset);
  }
  reader.at += 1; // =
  skip(reader, BLANKS);
  readValue(reader, path);
}

/** The segments of a key, dots and blanks around them consumed. */
function readKey(reader: Reader): { name: string; offset: number }[] {
  const segments: { name: string; offset: number }[] = [];
  do {
    if (segments.length > 0) reader.at += 1; // .
    skip(reader, BLANKS);
    const offset = reader.at;
    const raw = take(reader, BASIC_STRING) || take(reader, LITERAL_STRING) || take(reader, BARE_KEY);
    segments.push({ name: nameOf(raw), offset });
    skip(reader, BLANKS);
  } while (reader.toml[reader.at] === ".");
  return segments;
}

function nameOf(raw: string): string {
  if (!raw.startsWith('"') && !raw.startsWith("'")) return raw;
  return Object.keys(parse(`${raw} = 0`))[0] ?? raw;
}

function readValue(reader: Reader, path: KeyPath): void {
  const first = reader.toml[reader.at];
  if (first === "[") readArray(reader, path);
  else if (first === "{") readInlineTable(reader, path);
  else if (!isStringTaken(reader)) skip(reader, BARE_VALUE);
}

function isStringTaken(reader: Reader): boolean {
  const strings = [LONG_BASIC_STRING, LONG_LITERAL_STRING, BASIC_STRING, LITERAL_STRING];
  return strings.some((pattern) => take(reader, pattern) !== "");
}

function readArray(reader: Reader, path: KeyPath): void {
  reader.at += 1;
  skip(reader, BLANKS_AND_COMMENTS);
  for (let index = 0; !isAtEnd(reader, "]"); index += 1) {
    remember(reader, [...path, index], reader.at);
    readValue(reader, [...path, index]);
    skipComma(reader);
  }
  reader.at += 1;
}

function readInlineTable(reader: Reader, path: KeyPath): void {
  reader.at += 1;
  skip(reader, BLANKS_AND_COMMENTS);
  while (!isAtEnd(reader, "}")) {
    readAssignment(reader, path);
    skipComma(reader);
  }
  reader.at += 1;
}

function skipComma(reader: Reader): void {
  skip(reader, BLANKS_AND_COMMENTS);
  if (reader.toml[reader.at] !== ",") return;
  reader.at += 1;
  skip(reader, BLANKS_AND_COMMENTS);
}

function isAtEnd(reader: Reader, bracket: string): boolean {
  return reader.at >= reader.toml.length || reader.toml[reader.at] === bracket;
}

function remember(reader: Reader, path: KeyPath, offset: number): void {
  const key = keyOf(path);
  if (!reader.offsets.has(key)) reader.offsets.set(key, offset);
}

function keyOf(path: KeyPath): string {
  return JSON.stringify(path);
}

function skip(reader: Reader, pattern: RegExp): void {
  take(reader, pattern);
}

function take(reader: Reader, pattern: RegExp): string {
  pattern.lastIndex = reader.at;
  const text = pattern.exec(reader.toml)?.[0] ?? "";
  reader.at += text.length;
  return text;
}
