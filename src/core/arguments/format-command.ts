/**
 * Prints a command that means a given value: what parseArguments reads from it is that value again. Everything is
 * spelled out, defaults too, so that a command kept somewhere means the same after a default has changed.
 */
import { type Argument, type ArgumentShape, argumentShape } from "./argument-shape.ts";
import { convert } from "./convert.ts";
import { isQuote } from "./quotes.ts";
import type { StandardSchema } from "./standard-schema.ts";
import { ANY_KIND, type ValueKind } from "./value-kind.ts";
import { isSpace } from "./white-space.ts";

/**
 * The command with its arguments, on one line: required ones by position, others as `key=value`, then flags.
 * Holds for values that JSON can say, dates and big integers, under keys that are words; a schema that
 * transforms its input to something else cannot be printed back.
 */
export function formatCommand(command: string, value: object, schema: StandardSchema): string {
  const shape = argumentShape(schema);
  const values = new Map<string, unknown>(Object.entries(value).filter(([, each]) => each !== undefined));
  const positional = positionalOf(shape, values);
  const words = positional.map((argument) => positionalWord(argument, values.get(argument.name)));
  const pairs: string[] = [];
  const flags: string[] = [];
  for (const argument of shape.arguments) {
    if (positional.includes(argument) || !values.has(argument.name)) continue;
    const each = values.get(argument.name);
    if (argument.isSwitch && typeof each === "boolean") flags.push(flag(argument, { isOn: each, shape }));
    else pairs.push(...pairsOf(argument, each));
  }
  const others = [...values].filter(([key]) => shape.others !== undefined && shape.find(key) === undefined);
  pairs.push(...others.map(([key, each]) => `${key}=${written(each, shape.others ?? ANY_KIND)}`));
  return [command, ...words, ...pairs, ...flags].join(" ");
}

/**
 * Those that can go without a key: required ones that are there and are no list, and a rest that no optional
 * argument could take words from.
 */
function positionalOf(shape: ArgumentShape, values: Map<string, unknown>): Argument[] {
  const positional: Argument[] = [];
  let isOptionalLeftOut = false;
  for (const argument of shape.positional) {
    const isThere = values.has(argument.name);
    if (argument.isRequired && !isThere) return positional;
    const isReachable = argument.isRequired || (argument.isRest && isThere && !isOptionalLeftOut);
    // The words of a rest are more than one, and an optional argument before it would take the first.
    if (argument.itemKind === undefined && isReachable) positional.push(argument);
    else if (!isThere) isOptionalLeftOut = true;
  }
  return positional;
}

function positionalWord(argument: Argument, value: unknown): string {
  const isProse = argument.isRest && typeof value === "string" && PLAIN_PROSE.test(value);
  return isProse && value.includes(" ") ? value : written(value, argument.kind);
}

function pairsOf({ key, kind, itemKind }: Argument, value: unknown): string[] {
  if (itemKind === undefined || !Array.isArray(value)) return [`${key}=${written(value, kind)}`];
  if (value.length === 0) return [`${key}=[]`];
  return value.map((item, index) => {
    const word = written(item, itemKind(index));
    return `${key}=${word === "null" && item !== null ? '"null"' : word}`;
  });
}

/** `--no-cache`, unless a property of that name exists and would be meant. */
function flag({ key }: Argument, { isOn, shape }: { isOn: boolean; shape: ArgumentShape }): string {
  if (isOn) return `--${key}`;
  return shape.find(`no-${key}`) === undefined ? `--no-${key}` : `${key}=false`;
}

/** Letters, digits and marks that mean nothing to the reader of words, and no dash in front. */
const PLAIN = /^[\p{L}\p{N}_./:@#%+,][\p{L}\p{N}_./:@#%+,-]*$/u;
const PLAIN_PROSE =
  /^[\p{L}\p{N}_./:@#%+,][\p{L}\p{N}_./:@#%+,-]*(?: [\p{L}\p{N}_./:@#%+,][\p{L}\p{N}_./:@#%+,-]*)*$/u;

function written(value: unknown, kind: ValueKind): string {
  if (typeof value === "string") {
    if (PLAIN.test(value) && isReadAs(value, { text: value, isQuoted: false, kind })) return value;
    return isReadAs(value, { text: value, isQuoted: true, kind }) ? quoted(value) : escaped(value);
  }
  if (Object.is(value, -0)) return "-0";
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '""' : value.toISOString();
  if (typeof value === "object" && value !== null) {
    const json = JSON.stringify(value);
    return typeof convertedTo({ text: json, isQuoted: true, kind }) === "object"
      ? quoted(json)
      : escaped(json);
  }
  return String(value);
}

function isReadAs(value: string, word: { text: string; isQuoted: boolean; kind: ValueKind }): boolean {
  return convertedTo(word) === value;
}

function convertedTo({ kind, ...word }: { text: string; isQuoted: boolean; kind: ValueKind }): unknown {
  const converted = convert(word, kind);
  return converted === "wrong" ? undefined : converted.value;
}

const ESCAPES: Partial<Record<string, string>> = {
  "\n": "\\n",
  "\t": "\\t",
  "\r": "\\r",
  "\\": "\\\\",
  '"': '\\"',
};

function quoted(text: string): string {
  return `"${text.replace(/[\n\t\r\\"]/g, (character) => ESCAPES[character] ?? character)}"`;
}

/** Without quotes, for the rare text that quotes would give another meaning. */
function escaped(text: string): string {
  let word = "";
  for (const character of text) {
    const isSpecial = isQuote(character) || isSpace(character);
    word += ESCAPES[character] ?? (isSpecial ? `\\${character}` : character);
  }
  return word === "" ? '""' : word;
}
