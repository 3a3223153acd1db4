/**
 * Which arguments a schema describes, in the order of its properties: what each is called, what it takes, and
 * which are given by position. Read from the schema's JSON Schema; a schema that offers none is opaque: any key
 * is handed to it as text.
 */
import type { StandardSchema } from "./standard-schema.ts";
import { ANY_KIND, type JsonSchema, readKind, resolve, takesAnyText, type ValueKind } from "./value-kind.ts";

export interface Argument {
  /** The property's name: `dryRun`. */
  name: string;
  /** As a person writes it: `dry-run`. */
  key: string;
  kind: ValueKind;
  /** What its n-th item may be, where it is a list. */
  itemKind: ((index: number) => ValueKind) | undefined;
  /** A yes or no, which a flag gives: `--dry-run`. */
  isSwitch: boolean;
  /** Takes the rest of the text as it stands. */
  isRest: boolean;
  isRequired: boolean;
  /** A list that is empty when nothing is given, though the schema asks for one. */
  isEmptyWhenAbsent: boolean;
  /** Undefined where there is none. */
  default: unknown;
  description: string;
}

export interface ArgumentShape {
  arguments: Argument[];
  /** Those that words without a key go to, in order. */
  positional: Argument[];
  rest: Argument | undefined;
  /** What the value of a key that is no property may be; undefined where such keys are mistakes. */
  others: ValueKind | undefined;
  /** The schema does not say what it takes. */
  isOpaque: boolean;
  /** The argument that a written key means: `dry-run`, `dryRun`, `DRY_RUN`. */
  find(key: string): Argument | undefined;
}

/** The arguments of a schema. Costs a conversion to JSON Schema. */
export function argumentShape(schema: StandardSchema): ArgumentShape {
  const root = jsonSchemaOf(schema);
  if (root === undefined) return { ...shapeOf([]), others: ANY_KIND, isOpaque: true };
  const object = objectOf(root, root);
  if (object === undefined) return { ...shapeOf([]), others: ANY_KIND, isOpaque: true };

  const entries = Object.entries(object.properties ?? {});
  const all = entries.map(([name, property]) =>
    argumentOf(name, { property, root, isRequired: object.required?.includes(name) ?? false }),
  );
  markRest(all);
  const shape = shapeOf(all);
  for (const argument of all) {
    const key = kebabCase(argument.name);
    if (shape.find(key) === argument) argument.key = key;
  }
  const { additionalProperties: others } = object;
  if (typeof others === "object") shape.others = readKind(others, root);
  else if (others === true) shape.others = ANY_KIND;
  return shape;
}

/** What the schema takes as a whole, as `object` or `string`; undefined where it does not say. */
export function wholeTypeOf(schema: StandardSchema): string | undefined {
  const type = jsonSchemaOf(schema)?.type;
  return typeof type === "string" ? type : undefined;
}

function jsonSchemaOf(schema: StandardSchema): JsonSchema | undefined {
  const { jsonSchema, vendor } = schema["~standard"];
  if (jsonSchema === undefined) return undefined;
  // zod throws at a part that JSON Schema has no word for, as z.date(), unless told to let it be anything.
  const options = vendor === "zod" ? { libraryOptions: { unrepresentable: "any" } } : {};
  try {
    return jsonSchema.input({ target: "draft-2020-12", ...options });
  } catch {
    // The standard lets a library throw where it has no JSON Schema for something: then it is opaque.
    return undefined;
  }
}

/** The object at the top, unions and intersections of objects taken together; undefined for anything else. */
function objectOf(schema: JsonSchema, root: JsonSchema, depth = 0): JsonSchema | undefined {
  const own = resolve(schema, root);
  const members = own.allOf ?? own.anyOf ?? own.oneOf;
  if (members === undefined) return own.type === "object" ? own : undefined;
  if (depth === MAX_NESTED_OBJECTS) return undefined;
  const objects = members.map((member) => objectOf(member, root, depth + 1));
  if (!objects.every((object) => object !== undefined) || objects.length === 0) return undefined;

  const names = [...new Set(objects.flatMap(({ properties = {} }) => Object.keys(properties)))];
  const isRequired = (name: string) =>
    own.allOf === undefined
      ? objects.every(({ required = [] }) => required.includes(name))
      : objects.some(({ required = [] }) => required.includes(name));
  return {
    type: "object",
    properties: Object.fromEntries(
      names.map((name) => [name, together(objects.flatMap(({ properties }) => properties?.[name] ?? []))]),
    ),
    required: names.filter(isRequired),
  };
}

const MAX_NESTED_OBJECTS = 4;

function together(schemas: JsonSchema[]): JsonSchema {
  return schemas.length === 1 ? (schemas[0] ?? {}) : { anyOf: schemas };
}

function argumentOf(
  name: string,
  { property, root, isRequired }: { property: JsonSchema; root: JsonSchema; isRequired: boolean },
): Argument {
  const own = resolve(property, root);
  const kind = readKind(own, root);
  const notNull = kind.filter(({ type }) => type !== "null");
  const list = notNull.length === 1 && notNull[0]?.type === "array" ? notNull[0].schema : undefined;
  const isSwitch = notNull.length > 0 && notNull.every(({ type }) => type === "boolean");
  const isEmptyWhenAbsent = isRequired && list !== undefined && (list.minItems ?? 0) === 0;
  return {
    name,
    key: name,
    kind,
    itemKind: list === undefined ? undefined : (index) => itemKind(list, { root, index }),
    isSwitch,
    isRest: own["x-rest"] === true,
    isRequired: isRequired && !isEmptyWhenAbsent,
    isEmptyWhenAbsent,
    default: own.default,
    description: own.description ?? "",
  };
}

function itemKind(list: JsonSchema, { root, index }: { root: JsonSchema; index: number }): ValueKind {
  const item = list.prefixItems?.[index] ?? list.items;
  return typeof item === "object" ? readKind(item, root) : ANY_KIND;
}

/** The first text marked with `x-rest` takes the rest of the line; so does one that is the only property. */
function markRest(all: Argument[]): void {
  const isText = ({ kind, itemKind }: Argument) => itemKind === undefined && takesAnyText(kind);
  const marked = all.find((each) => each.isRest && isText(each));
  const rest = marked ?? (all.length === 1 ? all.find(isText) : undefined);
  for (const each of all) each.isRest = each === rest;
}

function shapeOf(all: Argument[]): ArgumentShape {
  const exact = new Map(all.map((each) => [each.name, each]));
  const folded = new Map(all.toReversed().map((each) => [fold(each.name), each]));
  const rest = all.find(({ isRest }) => isRest);
  const notSwitches = all.filter(({ isSwitch }) => !isSwitch);
  return {
    arguments: all,
    positional: rest === undefined ? notSwitches : notSwitches.slice(0, notSwitches.indexOf(rest) + 1),
    rest,
    others: undefined,
    isOpaque: false,
    find: (key) => exact.get(key) ?? (fold(key) === "" ? undefined : folded.get(fold(key))),
  };
}

function fold(key: string): string {
  return key.toLowerCase().replace(/[-_]/g, "");
}

function kebabCase(name: string): string {
  return name
    .replace(/([\p{Ll}\p{Nd}])(\p{Lu})/gu, "$1-$2")
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1-$2")
    .replace(/_/g, "-")
    .toLowerCase();
}
