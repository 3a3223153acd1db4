/**
 * From the text behind a command to the typed value that its worker takes. Never fails on any text: what is
 * wrong comes back as sentences for the person who typed it. Only a schema whose own code throws makes it throw.
 *
 * Positional are, in the order of the schema's properties, all that are not boolean and not given by key; required
 * ones are served first, a list takes what is left over. A text marked `x-rest`, or one that is the only property,
 * takes the rest as it stands; in it, keys that the schema does not have are words like any other.
 */
import { WorkerError } from "../errors.ts";
import { named } from "../named.ts";
import { type Argument, type ArgumentShape, argumentShape } from "./argument-shape.ts";
import { type Converted, convert, type Written } from "./convert.ts";
import { type Given, readOptions } from "./options.ts";
import { Problems } from "./problems.ts";
import type { OutputOf, StandardIssue, StandardSchema } from "./standard-schema.ts";
import { isOfKind, type ValueKind } from "./value-kind.ts";
import { splitWords } from "./words.ts";

export type ParsedArguments<Value> = { ok: true; value: Value } | { ok: false; problems: string[] };

/** The arguments in `text`, which is a message without its mention and its command. */
export async function parseArguments<Schema extends StandardSchema>(
  text: string,
  schema: Schema,
): Promise<ParsedArguments<OutputOf<Schema>>> {
  const split = splitWords(text);
  if (!split.ok) return { ok: false, problems: [split.problem] };

  const shape = argumentShape(schema);
  const problems = new Problems(shape);
  const given = readOptions({ source: text, words: split.words }, { shape, problems });
  const input = inputOf(given, { shape, problems });
  const result = await validated(schema, Object.fromEntries(input));

  if (result.issues !== undefined) addIssues(result.issues, { shape, input, given, problems });
  if (problems.list.length > 0) return { ok: false, problems: problems.list };
  if (result.issues !== undefined) return { ok: false, problems: ["These arguments do not fit together"] };
  return { ok: true, value: result.value as OutputOf<Schema> };
}

/** One that has no answer is its worker's mistake: another attempt would meet the same. */
async function validated<Schema extends StandardSchema>(schema: Schema, value: unknown) {
  const result = await schema["~standard"].validate(value);
  if (typeof result === "object" && result !== null) return result;
  throw new WorkerError(
    `The args of this worker have answered ${named(result)}, not { value } or { issues }`,
    {
      retry: "never",
      hint: "Mend validate() of the schema; it follows Standard Schema",
    },
  );
}

/** What the schema is to validate. A map, so that a key `__proto__` becomes one like any other. */
function inputOf(
  given: Given,
  { shape, problems }: { shape: ArgumentShape; problems: Problems },
): Map<string, unknown> {
  const input = new Map<string, unknown>();
  for (const argument of shape.arguments) {
    const written = given.values.get(argument);
    if (written !== undefined) {
      const converted = convertAll(argument, { written, problems });
      if (converted !== "wrong") input.set(argument.name, converted.value);
    } else if (argument.isRequired) problems.addMissing(argument);
    else if (argument.isEmptyWhenAbsent) input.set(argument.name, []);
  }
  for (const [key, written] of given.others) {
    const converted = convert(written, shape.others ?? []);
    input.set(key, converted === "wrong" ? written.text : converted.value);
  }
  return input;
}

function convertAll(
  argument: Argument,
  { written, problems }: { written: Written[]; problems: Problems },
): Converted {
  const { kind, itemKind } = argument;
  const [first, second] = written;
  if (first === undefined) return "wrong";
  if (itemKind === undefined) {
    if (second !== undefined) problems.addRepeated(argument, [first.text, second.text]);
    return convertOne(first, { argument, kind, problems });
  }
  const isAlone = second === undefined && !first.isQuoted;
  if (isAlone && first.text === "[]") return { value: [] };
  if (isAlone && first.text === "null" && kind.some(({ type }) => type === "null")) return { value: null };
  const items = written.map((each, index) => convertOne(each, { argument, kind: itemKind(index), problems }));
  return { value: items.map((item) => (item === "wrong" ? undefined : item.value)) };
}

function convertOne(
  written: Written,
  { argument, kind, problems }: { argument: Argument; kind: ValueKind; problems: Problems },
): Converted {
  const converted = convert(written, kind);
  if (converted === "wrong") problems.addWrong(argument, { met: written.text, kind });
  return converted;
}

/** Says in our words what the schema refused; in its own where ours do not tell why. */
function addIssues(
  issues: readonly StandardIssue[],
  {
    shape,
    input,
    given,
    problems,
  }: { shape: ArgumentShape; input: Map<string, unknown>; given: Given; problems: Problems },
): void {
  for (const { message, path = [] } of issues) {
    const [name, item] = path.map((part) => (typeof part === "object" ? part.key : part));
    const argument = shape.arguments.find((each) => each.name === name);
    if (argument === undefined) {
      // An issue of the whole often follows from one of a part, which says it better.
      if (name !== undefined) problems.add(`${String(name)}: ${message}`);
      else if (problems.list.length === 0) problems.add(message);
      continue;
    }
    const whole = input.get(argument.name);
    const index = Array.isArray(whole) && argument.itemKind !== undefined ? Number(item) : Number.NaN;
    const isItem = Number.isInteger(index);
    const kind = (isItem ? argument.itemKind?.(index) : undefined) ?? argument.kind;
    const value = isItem && Array.isArray(whole) ? whole[index] : whole;
    const written = given.values.get(argument);
    const met = (isItem ? written?.[index]?.text : written?.[0]?.text) ?? "";
    if (written === undefined && whole === undefined) problems.addMissing(argument);
    else if (isOfKind(value, kind)) problems.addRefused(argument, { met, message });
    else problems.addWrong(argument, { met, kind });
  }
}
