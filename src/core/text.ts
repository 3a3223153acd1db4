/** Text that is safe to store and to cut: NUL and half characters are replaced, cuts fall between graphemes. */

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/**
 * The text with NUL and lone surrogates replaced by U+FFFD. PostgreSQL refuses NUL, and one refused row would
 * fail its whole batch; a lone surrogate has no UTF-8.
 */
export function toStorable(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
  return wellFormed.includes("\0") ? wellFormed.replaceAll("\0", "\u{FFFD}") : wellFormed;
}

/** At most `maxGraphemes` characters as a reader counts them, with "…" in the last one's place when cut. */
export function preview(text: string, maxGraphemes: number): string {
  if (text.length <= maxGraphemes) return text;
  let count = 0;
  let end = 0;
  for (const { index } of segmenter.segment(text)) {
    if (count === maxGraphemes) return `${text.slice(0, end)}…`;
    if (count === maxGraphemes - 1) end = index;
    count += 1;
  }
  return text;
}

/** The length in bytes of UTF-8. */
export function byteLength(text: string): number {
  return Buffer.byteLength(text, "utf8");
}
