/** Unicode's White_Space: unlike `\s` it has U+0085 and has not U+FEFF. */
export function isSpace(character: string): boolean {
  const code = character.charCodeAt(0);
  if (code > 0x20 && code < 0x7f) return false;
  return WHITE_SPACE.test(character);
}

const WHITE_SPACE = /^\p{White_Space}$/u;
