/**
 * What is wrong with the arguments of a command, in sentences for the person who typed it: what was met, what is
 * expected, and the nearest thing that would have been right.
 */
import { nearest } from "../nearest.ts";
import { preview } from "../text.ts";
import type { Argument, ArgumentShape } from "./argument-shape.ts";
import { expectation, type ValueKind } from "./value-kind.ts";

/** How many problems one answer lists. */
const MAX_LISTED_PROBLEMS = 10;
const MAX_SHOWN_GRAPHEMES = 40;
const MAX_ASIDE_GRAPHEMES = 100;
const MAX_LISTED_KEYS = 12;
const MIN_BEGINNING_LETTERS = 2;

export class Problems {
  readonly #shape: ArgumentShape;
  readonly #sentences = new Set<string>();
  /** The arguments that have a problem already; one is enough. */
  readonly #blamed = new Set<Argument>();

  constructor(shape: ArgumentShape) {
    this.#shape = shape;
  }

  get list(): string[] {
    return [...this.#sentences];
  }

  add(sentence: string): void {
    if (this.#sentences.size < MAX_LISTED_PROBLEMS) this.#sentences.add(sentence);
  }

  addMissing(argument: Argument): void {
    const { key, isSwitch, kind, itemKind, description } = argument;
    const give = isSwitch ? `--${key} or --no-${key}` : expectation(itemKind?.(0) ?? kind);
    const about = description === "" ? "" : ` (${aside(description)})`;
    this.#blame(argument, `${key} is missing: give ${give}${about}`);
  }

  addNeedsValue(label: string, argument: Argument): void {
    const { kind, itemKind } = argument;
    this.#blame(argument, `${label} needs a value: ${expectation(itemKind?.(0) ?? kind)}`);
  }

  addWrong(argument: Argument, { met, kind }: { met: string; kind: ValueKind }): void {
    const expected = expectation(kind);
    if (met === "") {
      this.#blame(argument, `${argument.key} is empty: give ${expected}`);
      return;
    }
    const choices = kind.flatMap((variant) => variant.choices ?? []).map(String);
    const meant = nearest(met, choices) ?? this.#flagMeantBy(met);
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    this.#blame(argument, `${argument.key} must be ${expected}, not ${shown(met)}${hint}`);
  }

  /** What the schema itself says, where we know no better. */
  addRefused(argument: Argument, { met, message }: { met: string; message: string }): void {
    this.#blame(argument, `${argument.key} cannot be ${shown(met)}: ${message}`);
  }

  addRepeated(argument: Argument, [first, second]: [first: string, second: string]): void {
    this.#blame(argument, `${argument.key} is given twice: ${shown(first)} and ${shown(second)}`);
  }

  addTwice(label: string): void {
    this.add(`${short(label)} is given twice`);
  }

  addUnknown({ key, label, isDashed }: { key: string; label: string; isDashed: boolean }): void {
    if (this.#sentences.size >= MAX_LISTED_PROBLEMS) return;
    const meant = this.#nearest(key) ?? this.#begunBy(key);
    const quoting = isDashed ? "" : " (put it in quotes if it is text)";
    if (meant !== undefined) {
      const written = isDashed || meant.isSwitch ? `--${meant.key}` : `${meant.key}=`;
      this.add(`I do not know ${short(label)}; did you mean ${written}?${quoting}`);
    } else this.add(`I do not know ${short(label)}; ${this.#known()}${quoting}`);
  }

  /** A word that no argument is left for. */
  addLeftOver(word: string, last: Argument | undefined): void {
    const meant = this.#nearest(word.replace(/^[-–—―]+/u, ""));
    const isText = (argument: Argument) =>
      argument.kind.some(({ type, choices }) => type === "string" && choices === undefined);
    let hint = "";
    if (meant !== undefined) hint = `; did you mean ${meant.isSwitch ? `--${meant.key}` : `${meant.key}=…`}?`;
    else if (this.#shape.others !== undefined) hint = "; write it as key=value";
    else if (this.#shape.arguments.length === 0) hint = "; the command takes no arguments";
    else if (last !== undefined && isText(last)) hint = `; put ${last.key} in quotes if it has several words`;
    else if (this.#shape.arguments.some(isText)) hint = "; put what has several words in quotes";
    this.add(`I do not know what to do with ${shown(word)}${hint}`);
  }

  /** Whether the key is likely a slip for one that the command has. */
  isNearKey(key: string): boolean {
    return this.#nearest(key) !== undefined;
  }

  /** `-urgent`, with one hyphen, is a value like any other, but hardly ever meant as one. */
  #flagMeantBy(met: string): string | undefined {
    const meant = /^-\p{L}/u.test(met) ? this.#nearest(met.slice(1)) : undefined;
    return meant === undefined ? undefined : `--${meant.key}`;
  }

  #nearest(key: string): Argument | undefined {
    const known = this.#shape.arguments.map((argument) => argument.key);
    const meant = nearest(key, known) ?? nearest(key.replace(/^no-/i, ""), known);
    return meant === undefined ? undefined : this.#shape.find(meant);
  }

  /** `--dry` begins `--dry-run` and nothing else. */
  #begunBy(key: string): Argument | undefined {
    const begun = key.toLowerCase();
    if (begun.length < MIN_BEGINNING_LETTERS) return undefined;
    const [only, another] = this.#shape.arguments.filter((argument) => argument.key.startsWith(begun));
    return another === undefined ? only : undefined;
  }

  #known(): string {
    const keys = this.#shape.arguments.map(({ key, isSwitch }) => (isSwitch ? `--${key}` : key));
    if (keys.length === 0) return "the command takes no arguments";
    const more = keys.length > MAX_LISTED_KEYS ? ", …" : "";
    return `there is ${keys.slice(0, MAX_LISTED_KEYS).join(", ")}${more}`;
  }

  #blame(argument: Argument, sentence: string): void {
    if (this.#blamed.has(argument)) return;
    this.#blamed.add(argument);
    this.add(sentence);
  }
}

/** A value as a sentence shows it: short, in quotes, on one line. */
export function shown(value: string): string {
  return value === "" ? "empty" : JSON.stringify(preview(value, MAX_SHOWN_GRAPHEMES));
}

/** A description within a sentence: on one line, and not begun like one of its own. */
function aside(description: string): string {
  const line = preview(description.replace(/\s+/gu, " ").trim(), MAX_ASIDE_GRAPHEMES);
  return line.replace(/^\p{Lu}(?=\p{Ll}|\s)/u, (first) => first.toLowerCase());
}

function short(label: string): string {
  return preview(label, MAX_SHOWN_GRAPHEMES);
}
