/** Instants, durations, counts and previews as a person reads them. Pure. */
import { preview } from "../../core/text.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** How much of a message's or an event's text is shown. */
const MAX_QUOTED_GRAPHEMES = 80;
/** A grapheme can be as long as its writer likes. */
const MAX_QUOTED_LENGTH = 400;

/** `2030-01-01 00:00:00 UTC (3 min ago)`. */
export function at(instant: number, now: number): string {
  return `${absolute(instant)} (${relative(instant, now)})`;
}

/** `2030-01-01 00:00:00 UTC`. */
export function absolute(instant: number): string {
  return `${new Date(instant).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** `3 min ago`, `in 2 s`, `now`. */
export function relative(instant: number, now: number): string {
  const distance = Math.abs(now - instant);
  if (distance < SECOND_MS) return "now";
  return instant < now ? `${duration(distance)} ago` : `in ${duration(distance)}`;
}

/** Two units at the most: `250 ms`, `3 s`, `2 min 5 s`, `1 h 30 min`, `3 days 4 h`. */
export function duration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < MINUTE_MS) return `${Math.round(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return twoUnits(ms, [MINUTE_MS, "min"], [SECOND_MS, "s"]);
  if (ms < DAY_MS) return twoUnits(ms, [HOUR_MS, "h"], [MINUTE_MS, "min"]);
  return twoUnits(ms, [DAY_MS, ms < 2 * DAY_MS ? "day" : "days"], [HOUR_MS, "h"]);
}

/** The text in quotes, on one line, cut between characters. */
export function quoted(text: string): string {
  // Before it is looked at character by character: it may be long.
  const start = text.slice(0, MAX_QUOTED_LENGTH * 2);
  const line = start.trim().replace(/\s+/gu, " ");
  const shown = preview(line, MAX_QUOTED_GRAPHEMES, MAX_QUOTED_LENGTH);
  const isCut = start.length < text.length && !shown.endsWith("…");
  return `"${shown}${isCut ? "…" : ""}"`;
}

/** An error's text without its final period, on one line. */
export function errorText(error: string): string {
  const line = error.trim().replace(/\s+/gu, " ").replace(/\.$/, "");
  return preview(line.slice(0, 1000), 400, 800);
}

/** `1 message`, `3 messages`. */
export function count(number: number, one: string): string {
  const many = one.endsWith("y") ? `${one.slice(0, -1)}ies` : `${one}s`;
  return `${number} ${number === 1 ? one : many}`;
}

/** As it is, on every platform: a fence that is longer than any in the text. */
export function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

type Unit = [ms: number, name: string];

function twoUnits(ms: number, [large, largeName]: Unit, [small, smallName]: Unit): string {
  const rest = Math.floor((ms % large) / small);
  const first = `${Math.floor(ms / large)} ${largeName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}
