/**
 * Tells the words behind a command apart: `key=value`, `--key value`, `--key=value`, `--flag`, `--no-flag`, and
 * words without a key, which go to the positional arguments in order. What is unknown or given twice becomes a
 * problem; values are not judged here.
 */
import type { Argument, ArgumentShape } from "./argument-shape.ts";
import { readSwitch, type Written } from "./convert.ts";
import type { Problems } from "./problems.ts";
import type { Word } from "./words.ts";

export interface Given {
  /** What was written for each argument, in order. */
  values: Map<Argument, Written[]>;
  /** Keys that are no property, where the schema takes such. */
  others: Map<string, Written>;
}

/** What each argument was given; what is wrong goes to `problems`. */
export function readOptions(
  { source, words }: { source: string; words: Word[] },
  { shape, problems }: { shape: ArgumentShape; problems: Problems },
): Given {
  return new OptionReader({ source, words, shape, problems }).read();
}

interface Option {
  key: string;
  /** As written, up to its value: `--depth`, `depth=`. */
  label: string;
  /** Undefined for `--key` alone, whose value may be the next word. */
  value: Written | undefined;
  isDashed: boolean;
}

/** Two hyphens, and what phones make of them. A dash counts only before a letter: "–5" is a number. */
const DASHES = /^(?:--|[–—―]-?(?=\p{L}))/u;
/** What may be a key that no schema knows; `https://host/?a=b` has none. */
const KEY = /^[\p{L}_][\p{L}\p{M}\p{Nd}_-]*$/u;

class OptionReader {
  readonly #source: string;
  readonly #words: Word[];
  readonly #shape: ArgumentShape;
  readonly #problems: Problems;
  readonly #given: Given = { values: new Map(), others: new Map() };
  /** The places, among the words, of those without a key. */
  readonly #texts: number[] = [];
  #hasUnknown = false;

  constructor(parts: { source: string; words: Word[]; shape: ArgumentShape; problems: Problems }) {
    this.#source = parts.source;
    this.#words = parts.words;
    this.#shape = parts.shape;
    this.#problems = parts.problems;
  }

  read(): Given {
    let isOver = false;
    for (let at = 0; at < this.#words.length; at += 1) {
      const word = this.#words[at];
      if (word === undefined) break;
      const option = isOver ? undefined : optionOf(word, this.#shape);
      if (!isOver && isTerminator(word)) {
        isOver = true;
        if (this.#isInRest()) this.#texts.push(at);
      } else if (option === undefined) this.#texts.push(at);
      else at += this.#take(option, at);
    }
    this.#placeTexts();
    return this.#given;
  }

  /** Takes the option at `at`; 1 when it took the word behind it as its value, else 0. */
  #take(option: Option, at: number): number {
    const argument = this.#shape.find(option.key);
    if (argument !== undefined) return this.#takeKnown(option, { argument, at });
    const negated = /^no[-_]?(.+)$/i.exec(option.key)?.[1];
    const refused = option.isDashed && option.value === undefined ? negated : undefined;
    const target = refused === undefined ? undefined : this.#shape.find(refused);
    if (target?.isSwitch) return this.#add(target, { text: "false", isQuoted: false });
    return this.#takeUnknown(option, { at, refused });
  }

  #takeKnown(option: Option, { argument, at }: { argument: Argument; at: number }): number {
    if (option.value !== undefined) return this.#add(argument, option.value);
    const next = this.#words[at + 1];
    if (argument.isSwitch) {
      const isValue = next !== undefined && this.#isSwitchWord(next);
      this.#add(argument, isValue ? next : { text: "true", isQuoted: false });
      return isValue ? 1 : 0;
    }
    if (next === undefined || isTerminator(next) || this.#isFlag(next)) {
      this.#problems.addNeedsValue(option.label, argument);
      return 0;
    }
    this.#add(argument, next);
    return 1;
  }

  #takeUnknown(option: Option, { at, refused }: { at: number; refused: string | undefined }): number {
    const { others, rest } = this.#shape;
    if (others !== undefined) return this.#takeOther(option, { at, refused });
    if (rest !== undefined && !this.#problems.isNearKey(option.key)) {
      this.#texts.push(at);
      return 0;
    }
    this.#hasUnknown = true;
    this.#problems.addUnknown(option);
    return 0;
  }

  #takeOther(option: Option, { at, refused }: { at: number; refused: string | undefined }): number {
    const next = this.#words[at + 1];
    const takesNext =
      option.value === undefined &&
      refused === undefined &&
      next !== undefined &&
      optionOf(next, this.#shape) === undefined &&
      !isTerminator(next);
    const key = option.isDashed ? camelCase(refused ?? option.key) : option.key;
    const flag = { text: refused === undefined ? "true" : "false", isQuoted: false };
    if (this.#given.others.has(key)) this.#problems.addTwice(option.label);
    else this.#given.others.set(key, option.value ?? (takesNext ? next : flag));
    return takesNext ? 1 : 0;
  }

  #add(argument: Argument, { text, isQuoted }: Written): 0 {
    const before = this.#given.values.get(argument);
    if (before === undefined) this.#given.values.set(argument, [{ text, isQuoted }]);
    else before.push({ text, isQuoted });
    return 0;
  }

  /** In a sentence that is taken as it stands, "on" and "no" are words; `true` and `false` hardly are. */
  #isSwitchWord({ text, isQuoted }: Word): boolean {
    if (isQuoted || readSwitch(text) === undefined) return false;
    return this.#shape.rest === undefined || /^(?:true|false)$/i.test(text);
  }

  #isFlag(word: Word): boolean {
    return optionOf(word, this.#shape)?.isDashed ?? false;
  }

  #isInRest(): boolean {
    const { rest } = this.#shape;
    return rest !== undefined && this.#texts.length > this.#open().indexOf(rest);
  }

  /** The positional arguments that no key has given. */
  #open(): Argument[] {
    return this.#shape.positional.filter((each) => !this.#given.values.has(each));
  }

  /** Required arguments have their word first; what is left over goes to the others in order. */
  #placeTexts(): void {
    const open = this.#open();
    let surplus = this.#texts.length - open.filter(({ isRequired }) => isRequired).length;
    let next = 0;
    for (const argument of open) {
      const takesMany = argument.itemKind !== undefined || argument.isRest;
      const room = argument.isRequired ? 0 : 1;
      const extra = Math.max(0, takesMany ? surplus : Math.min(room, surplus));
      surplus -= extra;
      const places = this.#texts.slice(next, next + extra + (argument.isRequired ? 1 : 0));
      next += places.length;
      this.#place(argument, places);
    }
    const left = this.#words[this.#texts[next] ?? -1];
    if (left !== undefined && !this.#hasUnknown) this.#problems.addLeftOver(left.text, open.at(-1));
  }

  #place(argument: Argument, places: number[]): void {
    if (places.length === 0) return;
    const written = places.flatMap((place) => this.#words[place] ?? []);
    const isRaw = argument.isRest && !(written.length === 1 && written[0]?.isQuoted);
    if (isRaw) this.#add(argument, { text: this.#textAt(places), isQuoted: places.length > 1 });
    else for (const each of written) this.#add(argument, each);
  }

  /** The source as it stands, without the options that were in between. */
  #textAt(places: number[]): string {
    const pieces: { start: number; end: number; last: number }[] = [];
    for (const place of places) {
      const { start, end } = this.#words[place] ?? { start: 0, end: 0 };
      const piece = pieces.at(-1);
      if (piece?.last === place - 1) Object.assign(piece, { end, last: place });
      else pieces.push({ start, end, last: place });
    }
    return pieces.map(({ start, end }) => this.#source.slice(start, end)).join(" ");
  }
}

function optionOf(word: Word, shape: ArgumentShape): Option | undefined {
  if (word.isQuoted) return undefined;
  const { text, equalsAt, isValueQuoted } = word;
  const dashes = DASHES.exec(text)?.[0].length ?? 0;
  const isDashed = dashes > 0;
  const key = text.slice(dashes, equalsAt === -1 ? undefined : equalsAt);
  if (key === "" || (!isDashed && equalsAt === -1)) return undefined;
  if (!isDashed && !KEY.test(key) && shape.find(key) === undefined) return undefined;
  const value = equalsAt === -1 ? undefined : { text: text.slice(equalsAt + 1), isQuoted: isValueQuoted };
  return { key, label: isDashed ? `--${key}` : `${key}=`, value, isDashed };
}

function isTerminator({ text, isQuoted }: Word): boolean {
  return text === "--" && !isQuoted;
}

function camelCase(key: string): string {
  return key.replace(/-+(\p{L})/gu, (_, letter: string) => letter.toUpperCase());
}
