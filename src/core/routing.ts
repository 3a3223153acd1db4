/**
 * Which workers a message is for, in the order in which they are asked: those of its command, then those whose
 * pattern is found in the content, in the order of registration, then the fallback. Pure: nothing here runs a
 * worker. Refuses at registration what could never be routed well.
 */
import { createHash } from "node:crypto";
import { RE2JS, RE2JSException, RE2Set } from "re2js";
import { RobsonError } from "./errors.ts";
import type { Worker } from "./worker.ts";

/** What must stay for `/help`, whatever anyone registers. */
const RESERVED_PROBES = ["/help", "/HELP", "<@U1234> /help", "<@U1234> /HELP"];

export interface Route {
  worker: Worker;
  /** The content without a leading mention and without the worker's command. */
  text: string;
}

interface Pattern {
  worker: Worker;
  /** RE2 source with its flags inside, as the set takes it. */
  source: string;
  /** Whether it can match nowhere but at the start of a text. */
  isAnchored: boolean;
}

/** Patterns that are looked for together. */
interface PatternSet {
  patterns: Pattern[];
  set: RE2Set;
}

export class Routing {
  readonly #workers: Worker[] = [];
  readonly #commands: { words: string[]; worker: Worker }[] = [];
  readonly #patterns: Pattern[] = [];
  readonly #fallbacks: Worker[] = [];
  #sets: PatternSet[] | undefined;
  #hasControl = false;

  /** The workers in the order of their registration. */
  get workers(): readonly Worker[] {
    return this.#workers;
  }

  /** What decides which worker a message is for: the same in processes that can stand in for each other. */
  fingerprint(): string {
    const parts = this.#workers.map(({ name, command, pattern }) => [
      name,
      command ?? "",
      String(pattern ?? ""),
    ]);
    return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
  }

  /** Adds a worker, or throws `WORKER_INVALID` with what stands in its way. */
  register(worker: Worker): void {
    const twin = this.#workers.find(({ name }) => name === worker.name);
    if (twin)
      throw refusal(
        worker,
        `a worker of the name "${worker.name}" is registered already`,
        "Rename one of them",
      );
    if (worker.command !== undefined) this.#registerCommand(worker, worker.command);
    else if (worker.pattern !== undefined) this.#registerPattern(worker, worker.pattern);
    else this.#fallbacks.push(worker);
    this.#workers.push(worker);
    this.#hasControl ||= worker.isControl === true;
  }

  /** The workers to ask, one after another until one does not pass. */
  match(content: string): Route[] {
    const text = withoutMention(content);
    const routes: Route[] = [];
    if (text.startsWith("/")) {
      for (const { words, worker } of this.#commands) {
        const rest = afterWords(text, words);
        if (rest !== undefined) routes.push({ worker, text: rest });
      }
      // "/task create" is meant before "/task", whichever was registered first.
      routes.sort((a, b) => a.text.length - b.text.length);
    }
    for (const worker of this.#patternMatches(content)) routes.push({ worker, text });
    for (const worker of this.#fallbacks) routes.push({ worker, text });
    return routes;
  }

  /** The way to one worker, by its name. Empty where it is not registered any more. */
  routeTo(name: string, content: string): Route[] {
    const worker = this.#workers.find((known) => known.name === name);
    if (!worker) return [];
    const text = withoutMention(content);
    const words = worker.command?.trim().toLowerCase().split(/\s+/u);
    return [{ worker, text: (words && afterWords(text, words)) ?? text }];
  }

  /** The same, and behind it the workers to ask should it pass. */
  routesFrom(name: string, content: string): Route[] {
    const own = this.routeTo(name, content);
    const routes = this.match(content);
    const place = routes.findIndex((route) => route.worker === own[0]?.worker);
    return own.length === 0 ? [] : [...own, ...routes.slice(place + 1)];
  }

  /** Whether the loop itself, or a control worker, is meant: then no limit of admission applies. */
  isControl(content: string): boolean {
    if (isHelp(content)) return true;
    return this.#hasControl && this.match(content)[0]?.worker.isControl === true;
  }

  #registerCommand(worker: Worker, command: string): void {
    const words = command.trim().toLowerCase().split(/\s+/u);
    if (!/^\/[^\s/]+$/u.test(words[0] ?? "")) {
      throw refusal(
        worker,
        `the command "${command}" does not start with a slash and a word`,
        'Write it as "/review"',
      );
    }
    if (words[0] === "/help") throw reserved(worker, command);
    const twin = this.#commands.find((known) => known.words.join(" ") === words.join(" "));
    if (twin) throw taken(worker, command, twin.worker);
    this.#commands.push({ words, worker });
  }

  #registerPattern(worker: Worker, pattern: string | RegExp): void {
    const source = typeof pattern === "string" ? pattern : re2Source(worker, pattern);
    let compiled: RE2JS;
    try {
      compiled = RE2JS.compile(source);
    } catch (error) {
      if (!(error instanceof RE2JSException)) throw error;
      throw refusal(worker, `the pattern ${source} does not compile: ${error.message}`, RE2_HINT);
    }
    if (RESERVED_PROBES.some((probe) => compiled.matcher(probe).find())) throw reserved(worker, source);
    const twin = this.#patterns.find((known) => known.source === source);
    if (twin) throw taken(worker, source, twin.worker);
    const isAnchored = (compiled.re2().cond & BEGIN_TEXT) !== 0;
    this.#patterns.push({ worker, source, isAnchored });
    this.#sets = undefined;
  }

  #patternMatches(content: string): Worker[] {
    if (this.#patterns.length === 0) return [];
    this.#sets ??= setsOf(this.#patterns);
    const found = this.#sets.flatMap(({ patterns, set }) =>
      set.match(content).flatMap((index) => patterns[index] ?? []),
    );
    if (found.length > 1) found.sort((a, b) => this.#patterns.indexOf(a) - this.#patterns.indexOf(b));
    return found.map(({ worker }) => worker);
  }
}

/** RE2's flag of a pattern that begins with `^`, in whatever way that is written. */
const BEGIN_TEXT = 4;

const HELP = ["/help"];

/** Whether the content is the reserved command `/help` itself, after an optional mention. */
export function isHelp(content: string): boolean {
  return helpAbout(content) !== undefined;
}

/** What `/help` was asked about: '' for everything, undefined where it was not asked. */
export function helpAbout(content: string): string | undefined {
  const text = withoutMention(content);
  return text.startsWith("/") ? afterWords(text, HELP) : undefined;
}

/** The content without white space around it and without a leading mention (`<@U1234>`). */
export function withoutMention(content: string): string {
  const text = content.trim();
  if (!text.startsWith("<@")) return text;
  const end = text.indexOf(">");
  return end === -1 ? text : text.slice(end + 1).trimStart();
}

const RE2_HINT = "Patterns are RE2: no look-around and no back-references, so that none can hang the process";

/** What follows the words, or undefined when the text does not start with them. Case does not matter. */
function afterWords(text: string, words: string[]): string | undefined {
  let rest = text;
  for (const word of words) {
    if (rest.length < word.length || rest.slice(0, word.length).toLowerCase() !== word) return undefined;
    const next = rest.slice(word.length);
    if (next !== "" && next.trimStart() === next) return undefined;
    rest = next.trimStart();
  }
  return rest;
}

/** A JavaScript pattern's source with those flags that RE2 knows; others that change the meaning are refused. */
function re2Source(worker: Worker, pattern: RegExp): string {
  const flags = [...pattern.flags].filter((flag) => !"gudy".includes(flag)).join("");
  if (pattern.sticky || pattern.flags.includes("v")) {
    throw refusal(
      worker,
      `the pattern ${pattern} has a flag that RE2 does not know`,
      "Use only the flags i, m and s",
    );
  }
  return flags === "" ? pattern.source : `(?${flags})${pattern.source}`;
}

/** Those that are anchored apart: they are done with a text after a few characters, the others read all of it. */
function setsOf(all: Pattern[]): PatternSet[] {
  return [true, false].flatMap((wanted) => {
    const patterns = all.filter(({ isAnchored }) => isAnchored === wanted);
    if (patterns.length === 0) return [];
    const set = new RE2Set(wanted ? RE2Set.ANCHOR_START : RE2Set.UNANCHORED);
    for (const { source } of patterns) set.add(source);
    set.compile();
    return [{ patterns, set }];
  });
}

function refusal(worker: Worker, why: string, hint: string): RobsonError {
  return new RobsonError("WORKER_INVALID", `Cannot register worker "${worker.name}": ${why}`, { hint });
}

function reserved(worker: Worker, pattern: string): RobsonError {
  return refusal(
    worker,
    `${pattern} matches the reserved command /help`,
    "Anchor the pattern, or choose another command",
  );
}

function taken(worker: Worker, pattern: string, by: Worker): RobsonError {
  return refusal(worker, `${pattern} is registered already, by worker "${by.name}"`, "Keep one of the two");
}
