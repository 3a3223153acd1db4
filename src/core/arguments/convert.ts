/** Turns what someone wrote into the value that a schema's kind asks for. What it cannot turn stays text. */
import { takesAnyText, type ValueKind } from "./value-kind.ts";

/** A value as it was written. Quotes say: this is text, where text is allowed. */
export interface Written {
  text: string;
  isQuoted: boolean;
}

export type Converted = { value: unknown } | "wrong";

/**
 * The value that the text stands for. `wrong` only where handing the text on would be misread: a schema that
 * coerces takes any text for `true`, and none for 0.
 */
export function convert({ text, isQuoted }: Written, kind: ValueKind): Converted {
  const isText = takesAnyText(kind);
  const choice = choiceOf({ text, isQuoted }, kind);
  if (choice !== undefined) return choice;
  if (isQuoted && isText) return { value: text };
  for (const { type, choices } of kind) {
    if (choices !== undefined) continue;
    const value = READERS[type]?.(text);
    if (value !== undefined) return { value };
  }
  const isMisread = kind.every(
    ({ type }) => type === "boolean" || type === "null" || (isNumeric(type) && text.trim() === ""),
  );
  return isMisread ? "wrong" : { value: text };
}

/** Whether the text is a yes or a no, and which. */
export function readSwitch(text: string): boolean | undefined {
  return SWITCH_WORDS.get(text.toLowerCase());
}

const SWITCH_WORDS = new Map([
  ["true", true],
  ["yes", true],
  ["on", true],
  ["false", false],
  ["no", false],
  ["off", false],
]);

const READERS: Partial<Record<string, (text: string) => unknown>> = {
  boolean: readSwitch,
  number: readNumber,
  integer: readNumber,
  null: (text) => (text === "null" ? null : undefined),
  array: readJson,
  object: readJson,
};

/** A choice as it is written, else one that differs in case alone. Of 5 and "5", quotes mean the text. */
function choiceOf({ text, isQuoted }: Written, kind: ValueKind): { value: unknown } | undefined {
  const choices = kind.flatMap((variant) => variant.choices ?? []);
  const exact = choices.filter((choice) => String(choice) === text);
  const isMeant = (choice: unknown) => (typeof choice === "string") === isQuoted;
  const isText = takesAnyText(kind);
  if (exact.some(isMeant)) return { value: exact.find(isMeant) };
  if (exact.length > 0 && !(isText && isQuoted)) return { value: exact[0] };
  if (isText) return undefined;
  const lower = text.toLowerCase();
  const similar = choices.find((choice) => typeof choice === "string" && choice.toLowerCase() === lower);
  if (similar !== undefined) return { value: similar };
  const spoken = readSwitch(text);
  return spoken !== undefined && choices.includes(spoken) ? { value: spoken } : undefined;
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function readNumber(text: string): number | undefined {
  return NUMBER.test(text) ? Number(text) : undefined;
}

function isNumeric(type: string): boolean {
  return type === "number" || type === "integer";
}

/** Deeper nesting could exhaust the stack of whoever reads the value. */
const MAX_JSON_DEPTH = 64;

function readJson(text: string): unknown {
  if (!/^\s*[[{]/.test(text) || isTooDeep(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the schema is handed the text, and says what it expects.
    return undefined;
  }
}

function isTooDeep(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    if (depth > MAX_JSON_DEPTH) return true;
  }
  return false;
}
