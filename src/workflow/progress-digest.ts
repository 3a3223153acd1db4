/**
 * Makes of an agent's many events a few texts for who asked: what it is doing now, and what it has done so far. At most
 * one an interval, and none while the last one is still on its way; what came meanwhile is in the next one.
 */
import { type Clock, systemClock } from "../core/clock.ts";
import { preview, replaceUnsafe, toStorable } from "../core/text.ts";
import type { AgentEvent } from "./coding-agent.ts";

export interface ProgressDigestOptions {
  /** The limit `progressIntervalMs`. */
  intervalMs: number;
  /** Takes one text to who asked. What it rejects with ends nothing: progress may be lost. */
  show(text: string): Promise<void> | void;
  /** Takes secrets out of a text. */
  redact?(text: string): string;
  clock?: Clock;
}

/** How many characters of an agent's words, or of a command, are shown. */
const MAX_WORDS = 300;
const MAX_DETAIL = 80;

export class ProgressDigest {
  readonly #options: ProgressDigestOptions;
  readonly #clock: Clock;
  readonly #edited = new Set<string>();
  #acts = 0;
  /** What it does now. */
  #present: string | undefined;
  #shown: string | undefined;
  #shownAt = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;
  #underWay: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: ProgressDigestOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  add(event: AgentEvent): void {
    if (this.#isClosed || event.type === "session") return;
    if (event.type === "tool") this.#acts += 1;
    if (event.type === "edited") this.#edited.add(event.file);
    const present = presentOf(event);
    if (present === "") return;
    this.#present = present;
    const at = this.#shownAt + this.#options.intervalMs;
    this.#cancel ??= this.#clock.schedule(Math.max(at, this.#clock.now()), () => this.#show());
  }

  /** Nothing is shown any more; resolves when the last one has arrived. What was not shown yet is left out. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#underWay;
  }

  #show(): void {
    const text = this.#text();
    this.#shownAt = this.#clock.now();
    const sent = text === this.#shown ? Promise.resolve() : this.#send(text);
    this.#shown = text;
    this.#underWay = sent.then(() => this.#next(text));
  }

  /** Goes on when something has come while the last text was on its way. */
  #next(sent: string): void {
    this.#cancel = undefined;
    if (this.#isClosed || this.#text() === sent) return;
    this.#cancel = this.#clock.schedule(this.#shownAt + this.#options.intervalMs, () => this.#show());
  }

  async #send(text: string): Promise<void> {
    try {
      await this.#options.show(text);
    } catch {
      // Progress may be lost; what the run comes to is stored elsewhere.
    }
  }

  #text(): string {
    const { redact = (text: string) => text } = this.#options;
    const edited = [...this.#edited];
    const sums = [
      ...(edited.length === 0 ? [] : [`${count(edited.length, "file")} edited (${namesOf(edited)})`]),
      ...(this.#acts === 0 ? [] : [count(this.#acts, "step")]),
    ];
    const soFar = sums.length === 0 ? "" : `\n\nSo far: ${sums.join(", ")}`;
    return redact(`${this.#present ?? ""}${soFar}`);
  }
}

function presentOf(event: AgentEvent): string {
  if (event.type === "message") return oneLine(event.text, MAX_WORDS);
  if (event.type === "edited") return `Edited ${code(event.file)}`;
  if (event.type === "tool") return event.detail === "" ? event.name : `${event.name}: ${code(event.detail)}`;
  if (event.type === "session") return "";
  const { reason, retryInMs } = event;
  const goesOn = retryInMs === undefined ? "" : `; it goes on in ${Math.ceil(retryInMs / 1000)} s`;
  return `Waiting: ${oneLine(reason, MAX_WORDS)}${goesOn}`;
}

function namesOf(files: string[]): string {
  const shown = files.slice(-3).map(code);
  return files.length > 3 ? `${shown.join(", ")} and ${files.length - 3} more` : shown.join(", ");
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** As code, so that no sign in it means anything to a platform. */
function code(text: string): string {
  return `\`${oneLine(text, MAX_DETAIL).replaceAll("`", "'")}\``;
}

function oneLine(text: string, maxLength: number): string {
  const visible = replaceUnsafe(toStorable(text.slice(0, maxLength * 40)), () => "");
  return preview(visible.trim().replace(/\s+/g, " "), maxLength);
}
