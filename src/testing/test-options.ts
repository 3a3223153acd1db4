/**
 * What a test hands to the helpers of `robson/testing`, checked before anything is made: test runners strip types and compile none, so a
 * slip would pass in silence (an option that nobody reads) or end as an error of a line that its author does not know.
 */
import { RobsonError } from "../core/errors.ts";
import { named } from "../core/named.ts";
import { misspelt, nearest } from "../core/nearest.ts";
import type { TestEnd } from "./temporary-folder.ts";

/** What helper it is for, as in `startTestLoop`. */
interface Of {
  helper: string;
}

export function checkTestEnd(t: unknown, { helper }: Of): asserts t is TestEnd {
  if (typeof (t as Partial<TestEnd> | null | undefined)?.onTestFinished === "function") return;
  throw refusal(
    `${helper} was given ${named(t)} for its test, which has no onTestFinished()`,
    `Pass the context of the test first, as in test("…", async (t) => … ${helper}(t, …)); with node:test { onTestFinished: (callback) => t.after(callback) }`,
  );
}

/** Refuses an option that is none of the known ones, and lies near to one that was left out: others are the test's own. */
export function checkNames(options: object, { helper, known }: Of & { known: readonly string[] }): void {
  const slip = misspelt(options, known);
  if (slip) throw refusal(`${helper} has no option "${slip.written}"`, `Did you mean "${slip.meant}"?`);
}

/** Refuses what is none of the words that a list may have. */
export function checkWords(
  given: readonly unknown[],
  { helper, known }: Of & { known: readonly string[] },
): void {
  const wrong = given.find((word) => !known.some((each) => each === word));
  if (wrong === undefined) return;
  const meant = nearest(String(wrong), known);
  throw refusal(
    `${helper} has no "${String(wrong)}"`,
    meant === undefined ? `It may have ${known.join(", ")}` : `Did you mean "${meant}"?`,
  );
}

/** Refuses an option that is neither left out nor a list. */
export function checkLists(
  options: Record<string, unknown>,
  { helper, lists }: Of & { lists: string[] },
): void {
  const wrong = lists.find((name) => options[name] !== undefined && !Array.isArray(options[name]));
  if (wrong === undefined) return;
  throw refusal(
    `The ${wrong} of ${helper} are ${named(options[wrong])}, not a list`,
    `Write ${wrong}: [ … ]`,
  );
}

export function checkFunctions(
  options: Record<string, unknown>,
  { helper, functions }: Of & { functions: string[] },
): void {
  const wrong = functions.find((name) => typeof options[name] !== "function");
  if (wrong === undefined) return;
  throw refusal(
    `${helper} was given ${named(options[wrong])} for ${wrong}, not a function`,
    `Write ${wrong}: (…) => …`,
  );
}

/** A log has a function for each level; a bare function is none. */
export function checkLog(log: unknown, { helper }: Of): void {
  const levels = ["debug", "info", "warn", "error"];
  const missing = levels.find(
    (level) => typeof (log as Record<string, unknown> | null)?.[level] !== "function",
  );
  if (log === undefined || missing === undefined) return;
  throw refusal(
    `The log of ${helper} has no ${missing}()`,
    "Give it console, or an object with debug, info, warn and error",
  );
}

function refusal(why: string, hint: string): RobsonError {
  return new RobsonError("USAGE_INVALID", why, { hint });
}
