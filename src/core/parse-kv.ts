/**
 * The `key=value` arguments in a message's text, by the original's rules: what stands before them (a mention,
 * a command, a sub-command) and words without `=` are passed over. It never fails; typed arguments, which say
 * what is missing, are the workers' own. One pass over the characters, so a long text costs its length.
 */
export type KeyValues = Record<string, string>;

/** The pairs in `content`; keys in lower case, the last of a repeated key wins. */
export function parseKv(content: string): KeyValues {
  if (!content.includes("=")) return {};
  const text = trim(content);
  const pairs = new Map<string, string>();
  let at = startOfPairs(text);
  while (at < text.length) {
    const keyEnd = endOfKey(text, at);
    if (text[keyEnd] === "=") {
      if (keyEnd === at) break;
      const value = valueAt(text, keyEnd + 1);
      pairs.set(text.slice(at, keyEnd).toLowerCase(), value.text);
      at = skipSpace(text, value.end);
    } else {
      at = skipSpace(text, keyEnd);
    }
  }
  // Defines properties instead of assigning them: a key `__proto__` becomes one like any other.
  return Object.fromEntries(pairs);
}

/** Behind a mention at the very start, then a command, then a word without `=`, of which each may be absent. */
function startOfPairs(text: string): number {
  let at = 0;
  if (text.startsWith("<@")) at = skipSpace(text, text.indexOf(">") + 1);
  if (text[at] === "/") at = skipSpace(text, endOfWord(text, at));
  if (text[endOfKey(text, at)] !== "=") at = skipSpace(text, endOfWord(text, at));
  return at;
}

/** A value in quotes ends behind its closing quote, whatever follows; a missing one is at the text's end. */
function valueAt(text: string, start: number): { text: string; end: number } {
  if (text[start] !== '"') {
    const end = endOfWord(text, start);
    return { text: text.slice(start, end), end };
  }
  const quote = text.indexOf('"', start + 1);
  const end = quote === -1 ? text.length : quote;
  return { text: text.slice(start + 1, end), end: end + 1 };
}

function trim(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(skipSpace(text, 0), end);
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function endOfWord(text: string, start: number): number {
  let at = start;
  while (at < text.length && !isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function endOfKey(text: string, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== "=" && !isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** Unicode's White_Space, as the original has it: unlike `\s` it has U+0085 and has not U+FEFF. */
function isSpace(code: number): boolean {
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  if (code === 0x85 || code === 0xa0 || code === 0x1680 || code === 0x3000) return true;
  if (code < 0x2000 || code > 0x205f) return false;
  return code <= 0x200a || code === 0x2028 || code === 0x2029 || code === 0x202f || code === 0x205f;
}
