/**
 * What a value may be, as JSON Schema tells it: read once from the schema, said in words to whoever asks, and
 * used to judge a value that the schema refused. Variants stand for `anyOf` and for several types.
 */

/** JSON Schema, as far as arguments need it. */
export interface JsonSchema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  items?: boolean | JsonSchema;
  prefixItems?: JsonSchema[];
  minItems?: number;
  default?: unknown;
  description?: string;
  format?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  "x-rest"?: unknown;
  $defs?: Record<string, JsonSchema>;
}

export interface Variant {
  type: "string" | "number" | "integer" | "boolean" | "null" | "array" | "object" | "any";
  /** The only values allowed, from `enum` or `const`. */
  choices: unknown[] | undefined;
  schema: JsonSchema;
}

/** At least one variant. */
export type ValueKind = Variant[];

export const ANY_KIND: ValueKind = [{ type: "any", choices: undefined, schema: {} }];

/** Follows a reference within the schema; a circle ends as a schema that allows anything. */
export function resolve(schema: JsonSchema, root: JsonSchema): JsonSchema {
  let target: JsonSchema | undefined = schema;
  for (let hops = 0; target?.$ref !== undefined; hops += 1) {
    const name: string | undefined = /^#\/(?:\$defs|definitions)\/(.+)$/.exec(target.$ref)?.[1];
    if (name === undefined || hops === MAX_REFERENCES) return {};
    const { $ref: _, ...beside }: JsonSchema = target;
    target = { ...root.$defs?.[name], ...beside };
  }
  return target ?? {};
}

const MAX_REFERENCES = 8;
const MAX_NESTED_UNIONS = 8;

/** The kind that a property's schema describes. */
export function readKind(schema: JsonSchema, root: JsonSchema, depth = 0): ValueKind {
  const own = resolve(schema, root);
  const members = own.anyOf ?? own.oneOf;
  if (members !== undefined && members.length > 0 && depth < MAX_NESTED_UNIONS) {
    return members.flatMap((member) => readKind(member, root, depth + 1));
  }
  const whole: JsonSchema = Object.assign({}, own, ...(own.allOf ?? []).map((part) => resolve(part, root)));
  const choices = whole.enum ?? (whole.const === undefined ? undefined : [whole.const]);
  const types = [whole.type ?? typesOf(choices)].flat();
  return types.map((type) => ({
    type: isKnownType(type) ? type : "any",
    choices: choices?.filter((choice) => types.length === 1 || fitsType(choice, type)),
    schema: whole,
  }));
}

function typesOf(choices: unknown[] | undefined): string[] {
  const types = new Set((choices ?? []).map((choice) => (choice === null ? "null" : typeof choice)));
  return types.size === 0 ? ["any"] : [...types];
}

const TYPES = ["string", "number", "integer", "boolean", "null", "array", "object"];

function isKnownType(type: string): type is Variant["type"] {
  return TYPES.includes(type);
}

function fitsType(value: unknown, type: string): boolean {
  if (type === "any") return true;
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}

/** Whether the kind has a variant that takes any text at all. */
export function takesAnyText(kind: ValueKind): boolean {
  return kind.some(({ type, choices }) => (type === "string" || type === "any") && choices === undefined);
}

/** Whether the value is of the kind, as far as this file knows its rules. */
export function isOfKind(value: unknown, kind: ValueKind): boolean {
  return kind.some(({ type, choices, schema }) => {
    if (!fitsType(value, type)) return false;
    if (choices !== undefined) return choices.includes(value);
    if (typeof value === "number") return isInRange(value, schema);
    return typeof value !== "string" || hasFittingLength(value, schema);
  });
}

function isInRange(value: number, { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema) {
  return (
    value >= (minimum ?? Number.NEGATIVE_INFINITY) &&
    value <= (maximum ?? Number.POSITIVE_INFINITY) &&
    (exclusiveMinimum === undefined || value > exclusiveMinimum) &&
    (exclusiveMaximum === undefined || value < exclusiveMaximum)
  );
}

function hasFittingLength(value: string, { minLength, maxLength, format }: JsonSchema) {
  const hasKnownFormat = format !== undefined && FORMATS[format] !== undefined;
  return !hasKnownFormat && value.length >= (minLength ?? 0) && value.length <= (maxLength ?? Infinity);
}

/** The kind in words, as they follow "must be": `shallow or deep`, `a whole number of at least 1`. */
export function expectation(kind: ValueKind): string {
  return orList([...new Set(kind.filter(({ type }) => type !== "null").flatMap(variantWords))]);
}

/** The kind as it stands in a usage line: `shallow|deep`, `number`. */
export function placeholder(kind: ValueKind): string {
  const words = kind
    .filter(({ type }) => type !== "null")
    .flatMap(({ type, choices, schema }) => {
      if (choices !== undefined) return choices.map(String);
      return [FORMAT_PLACEHOLDERS[schema.format ?? ""] ?? PLACEHOLDERS[type]];
    });
  return [...new Set(words)].join("|");
}

const PLACEHOLDERS: Record<Variant["type"], string> = {
  string: "text",
  number: "number",
  integer: "number",
  boolean: "yes|no",
  null: "null",
  array: "json",
  object: "json",
  any: "value",
};

const FORMAT_PLACEHOLDERS: Partial<Record<string, string>> = {
  uri: "url",
  email: "email",
  date: "date",
  "date-time": "time",
};

const FORMATS: Partial<Record<string, string>> = {
  uri: "a URL",
  email: "an e-mail address",
  date: "a date such as 2026-01-31",
  time: "a time of day such as 09:30:00",
  "date-time": "a time such as 2026-01-31T09:30:00Z",
  uuid: "a UUID",
  ipv4: "an IPv4 address",
  ipv6: "an IPv6 address",
};

function variantWords({ type, choices, schema }: Variant): string[] {
  if (choices !== undefined) return choices.map(String);
  if (type === "string") return [FORMATS[schema.format ?? ""] ?? `a text${lengthWords(schema)}`];
  if (type === "integer") return [`a whole number${rangeWords(schema)}`];
  if (type === "number") return [`a number${rangeWords(schema)}`];
  if (type === "boolean") return ["yes or no"];
  if (type === "array") return ['a list such as ["a", "b"]'];
  if (type === "object") return ['JSON such as {"a": 1}'];
  return ["a value"];
}

function rangeWords({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, type }: JsonSchema): string {
  const limits: string[] = [];
  if (exclusiveMinimum !== undefined) {
    const isWhole = [type].flat().includes("integer") && Number.isInteger(exclusiveMinimum);
    limits.push(isWhole ? `of at least ${exclusiveMinimum + 1}` : `above ${exclusiveMinimum}`);
  } else if (isTelling(minimum)) limits.push(`of at least ${minimum}`);
  if (exclusiveMaximum !== undefined) limits.push(`below ${exclusiveMaximum}`);
  else if (isTelling(maximum)) limits.push(`of at most ${maximum}`);
  if (isTelling(minimum) && isTelling(maximum)) return ` from ${minimum} to ${maximum}`;
  return limits.length === 0 ? "" : ` ${limits.join(" and ")}`;
}

/** The limits of exact integers are those of the machine, not of the argument. */
function isTelling(limit: number | undefined): limit is number {
  return limit !== undefined && Math.abs(limit) !== Number.MAX_SAFE_INTEGER;
}

function lengthWords({ minLength, maxLength }: JsonSchema): string {
  const limits: string[] = [];
  if (minLength === 1 && maxLength === undefined) return " that is not empty";
  if (minLength !== undefined && minLength > 0) limits.push(`at least ${minLength}`);
  if (maxLength !== undefined) limits.push(`at most ${maxLength}`);
  return limits.length === 0 ? "" : ` of ${limits.join(" and ")} characters`;
}

/** `a`, `a or b`, `a, b or c`. */
export function orList(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} or ${items.at(-1)}`;
}
