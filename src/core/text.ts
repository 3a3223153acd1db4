/** Text that is safe to store and to cut: NUL and half characters are replaced, cuts fall between graphemes. */

/** How long a character is in UTF-16 units; families of emoji with skin tones have 20. */
const MAX_GRAPHEME_LENGTH = 32;

/**
 * The text with NUL and lone surrogates replaced by U+FFFD. PostgreSQL refuses NUL, and one refused row would
 * fail its whole batch; a lone surrogate has no UTF-8.
 */
export function toStorable(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
  return wellFormed.includes("\0") ? wellFormed.replaceAll("\0", "\u{FFFD}") : wellFormed;
}

/**
 * At most `maxGraphemes` characters as a reader counts them, and `maxLength` UTF-16 units, with "…" in the last one's
 * place when cut. A single character may be as long as its writer likes; one that is too long is left out.
 */
export function preview(
  text: string,
  maxGraphemes: number,
  maxLength = maxGraphemes * MAX_GRAPHEME_LENGTH,
): string {
  if (text.length <= Math.min(maxGraphemes, maxLength)) return text;
  let count = 0;
  let end = 0;
  for (const { index, segment } of graphemes(text.slice(0, maxLength + 1))) {
    if (count === maxGraphemes || index + segment.length > maxLength) return `${text.slice(0, end)}…`;
    if (count < maxGraphemes - 1 && index + segment.length < maxLength) end = index + segment.length;
    count += 1;
  }
  return text;
}

/** C0 but tab and line feed, DEL, C1, and the signs that turn the reading direction or end a line unseen. */
const UNSAFE = /(?![\t\n])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/** The text with each sign replaced that a terminal would obey, or that shows a text as another one. */
export function replaceUnsafe(text: string, replacement: (sign: string) => string): string {
  return text.replace(UNSAFE, replacement);
}

/** The length in bytes of UTF-8. */
export function byteLength(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

/** Made when it is needed: its tables take 15 ms of a start. */
let segmenter: Intl.Segmenter | undefined;

/** The characters of a text as a reader counts them. */
export function graphemes(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  return segmenter.segment(text);
}
