/** The command that someone probably meant, for a message that matched none. */
import { distanceBetween, maxDistance } from "../nearest.ts";
import { withoutMention } from "../routing.ts";

/**
 * The nearest of the registered commands ("/review", "/task create") to what the message begins with, or undefined
 * when none is near, or the command is there as it stands. A first word without a slash must fit more closely.
 */
export function didYouMean(content: string, commands: readonly string[]): string | undefined {
  const words = firstWords(withoutMention(content));
  const hasSlash = words[0]?.startsWith("/") ?? false;
  let best: { command: string; distance: number; length: number } | undefined;
  for (const command of commands) {
    const known = command.trim().split(/\s+/u);
    const written = words.slice(0, known.length).join(" ");
    if (hasSlash && written === known.join(" ").toLowerCase()) return undefined;
    const distance = distanceTo(written, { command: known.join(" "), hasSlash });
    if (distance === undefined) continue;
    const isNearer = best === undefined || distance < best.distance;
    if (isNearer || (distance === best?.distance && known.length > best.length)) {
      best = { command, distance, length: known.length };
    }
  }
  return best?.command;
}

/** What of a message can be a command; the rest may be long. */
const MAX_COMMAND_LETTERS = 200;
const MIN_LETTERS_WITHOUT_SLASH = 4;
const MIN_PREFIX_LETTERS = 2;

/** In lower case, and without the bot's name that Telegram appends: `/review@robson_bot`. */
function firstWords(text: string): string[] {
  const [first = "", ...others] = text.slice(0, MAX_COMMAND_LETTERS).toLowerCase().split(/\s+/u);
  return [first.replace(/^(\/[^@]+)@.*$/u, "$1"), ...others];
}

function distanceTo(
  written: string,
  { command, hasSlash }: { command: string; hasSlash: boolean },
): number | undefined {
  const bare = written.replace(/^\//u, "");
  const known = command.replace(/^\//u, "").toLowerCase();
  const distance = distanceBetween([bare, known]);
  if (!hasSlash) {
    if (bare === known) return 0;
    return bare.length >= MIN_LETTERS_WITHOUT_SLASH && distance <= 1 ? distance : undefined;
  }
  if (distance <= maxDistance(bare) && distance < Math.min(bare.length, known.length)) return distance;
  // "/rev" begins "/review": nearer than nothing, farther than any slip.
  const isBeginning = bare.length >= MIN_PREFIX_LETTERS && known.startsWith(bare);
  return isBeginning ? known.length : undefined;
}
