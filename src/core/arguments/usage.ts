/** How a command is used, from its schema: one line for an answer, a line for each argument for its help. */
import { preview } from "../text.ts";
import { type Argument, argumentShape } from "./argument-shape.ts";
import type { StandardSchema } from "./standard-schema.ts";
import { expectation, placeholder, type ValueKind } from "./value-kind.ts";

/** One line, as `/review <pr> [--depth shallow|deep] [--dry-run]`; `example` where the schema tells nothing. */
export function usageOf(
  command: string,
  schema: StandardSchema,
  { example }: { example?: string | undefined } = {},
): string {
  const shape = argumentShape(schema);
  if (shape.isOpaque) return example ?? `${command} key=value …`;
  const open = new Set(shape.positional);
  // A choice that may be the first word of all, as in "/status all", is shown as such.
  const [first] = shape.positional.some(({ isRequired }) => isRequired) ? [] : shape.positional;
  const isLeading = (each: Argument) => each === first && each.itemKind === undefined && isChoice(each.kind);
  const parts = shape.arguments.map((each) =>
    isLeading(each) ? `[${each.key}${choices(each.kind)}]` : part(each, open.has(each)),
  );
  if (shape.others !== undefined) parts.push("[key=value …]");
  return [command, ...parts].join(" ");
}

/** A line for each argument: its key, what it takes, its default, what it is for. Markdown. */
export function argumentHelp(schema: StandardSchema): string[] {
  return argumentShape(schema).arguments.map((argument) => {
    const { key, isSwitch, description } = argument;
    const name = `\`${isSwitch ? `--${key}` : key}\``;
    const about = description === "" ? "" : `: ${description.replace(/\s+/gu, " ")}`;
    return `${name} — ${[kindWords(argument), need(argument)].filter((each) => each !== "").join(", ")}${about}`;
  });
}

function part(
  { key, kind, itemKind, isSwitch, isRequired, isEmptyWhenAbsent, isRest }: Argument,
  isOpen: boolean,
) {
  if (isSwitch) return isRequired ? `--${key}|--no-${key}` : `[--${key}]`;
  const many = itemKind === undefined ? "" : "…";
  const value = itemKind?.(0) ?? kind;
  if (isOpen && isRequired) return `<${key}${choices(value)}${many}>`;
  if (isOpen && (isEmptyWhenAbsent || isRest)) return `[${key}${choices(value)}${many}]`;
  const option = `--${key} ${slot(value)}`;
  return isRequired ? `${option}${many}` : `[${option}]${many}`;
}

function choices(kind: ValueKind): string {
  return isChoice(kind) ? `:${placeholder(kind)}` : "";
}

function slot(kind: ValueKind): string {
  return isChoice(kind) ? placeholder(kind) : `<${placeholder(kind)}>`;
}

function isChoice(kind: ValueKind): boolean {
  return kind.every(({ type, choices }) => choices !== undefined || type === "null");
}

function kindWords({ kind, itemKind, isSwitch, isRest }: Argument): string {
  if (isSwitch) return "a switch";
  if (itemKind !== undefined) return `any number of: ${expectation(itemKind(0))}`;
  return isRest ? `${expectation(kind)}, to the end of the message` : expectation(kind);
}

const MAX_SHOWN_GRAPHEMES = 60;

function need({ isRequired, isSwitch, default: preset }: Argument): string {
  if (isRequired) return "required";
  if (preset === undefined || (isSwitch && preset === false)) return "optional";
  if (isSwitch) return preset === true ? "on by default" : "optional";
  const text = typeof preset === "string" && preset !== "" ? preset : JSON.stringify(preset);
  return `default ${preview(text, MAX_SHOWN_GRAPHEMES)}`;
}
