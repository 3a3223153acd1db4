/**
 * Makes text harmless for a terminal: what a stranger wrote must not move the cursor, set the title, write to
 * the clipboard or turn the reading direction. Nothing is hidden; each sign in question is shown as a picture.
 */
import { replaceUnsafe } from "../../core/text.ts";

/** The text with each control character as its picture (`␛`), and its lines ended by "\n" alone. */
export function safeText(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
  return replaceUnsafe(wellFormed.replace(/\r\n?|[\u2028\u2029]/gu, "\n"), picture);
}

/** The same in one line: white space of any kind is one blank. */
export function safeLine(text: string): string {
  return safeText(text).replace(/\s+/gu, " ").trim();
}

function picture(sign: string): string {
  const code = sign.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : "\ufffd";
}
