/**
 * What a secret looks like where the library of known formats has no rule: some tokens by their form, names of files
 * that hold secrets, and a value without pattern assigned to a name that says "secret". The last is a guess: it makes
 * a person look, and refuses nothing by itself.
 */

/** `sure`: it has the form of a secret and of nothing else. `likely`: a person has to tell. */
export type Certainty = "sure" | "likely";

export interface Sighting {
  /** What it is, as in "found …". */
  what: string;
  certainty: Certainty;
  /** The secret itself: shown nowhere. */
  value: string;
  index: number;
}

interface Rule {
  what: string;
  certainty: Certainty;
  /** Global, and linear in the text: bounded repetitions, no beginning that can grow. */
  pattern: RegExp;
  /** Its drawn characters are so many that an example's word among them would be chance: none is taken for one. */
  hasNoExamples?: true;
}

const RULES: Rule[] = [
  // Without its end, too: half a key is a key.
  {
    what: "a private key",
    certainty: "sure",
    hasNoExamples: true,
    pattern: /-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\\n|\s){0,4}[A-Za-z0-9+/=]{32,8000}/g,
  },
  { what: "a key of age", certainty: "sure", pattern: /\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b/g },
  { what: "a token of a Telegram bot", certainty: "sure", pattern: /\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b/g },
  { what: "an API token of Atlassian", certainty: "sure", pattern: /\bAT(?:ATT|CTT|BBT?)3x[\w=-]{40,400}/g },
  { what: "a secret that webhooks are signed with", certainty: "sure", pattern: /\bwhsec_[\w+/=-]{24,200}/g },
  { what: "an API key of Google", certainty: "likely", pattern: /\bAIza[0-9A-Za-z_-]{35}\b/g },
  {
    what: "a signed token (JWT)",
    certainty: "likely",
    pattern: /\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20,2000}/g,
  },
];

const ASSIGNED =
  /(?:password|passwd|pwd|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|credentials?)["'\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}["'`]?([^\s"'`,;]{16,200})/gi;
const BEARER = /\b(?:Bearer|Basic)[ \t]{1,4}([\w+/=.~-]{20,400})/g;

/** All that these rules see in the text. */
export function sightings(text: string): Sighting[] {
  const known = RULES.flatMap(({ what, certainty, pattern, hasNoExamples }) =>
    [...text.matchAll(pattern)]
      .filter(([value]) => hasNoExamples || !isPlaceholder(value))
      .map(({ 0: value, index }): Sighting => ({ what, certainty, value, index })),
  );
  const assigned = [...text.matchAll(ASSIGNED), ...text.matchAll(BEARER)].flatMap(
    ({ 0: whole, 1: value = "", index }): Sighting[] => {
      const at = index + whole.lastIndexOf(value);
      const what = "a value without a pattern, where a secret would stand";
      return isRandom(value) ? [{ what, certainty: "likely", value, index: at }] : [];
    },
  );
  return [...known, ...assigned];
}

/** Whether the value looks as if it had been drawn by lot: no words, no code, no pattern. */
export function isRandom(value: string): boolean {
  if (isPlaceholder(value) || !/^[\w+/=.~!@#%^&*-]+$/.test(value)) return false;
  const hasLettersAndDigits = /[A-Za-z]/.test(value) && /\d/.test(value);
  if (!hasLettersAndDigits || UUID.test(value) || value.includes("://")) return false;
  // Names: words, short numbers and versions in a row, as in "projects/42/secrets/db-v2".
  const parts = value.split(/[-_./:]|(?<=[a-z])(?=[A-Z])/).filter((part) => part !== "");
  if (parts.every((part) => /^(?:[A-Z]?[a-z]+\d{0,3}|[A-Z]+|\d{1,4})$/.test(part))) return false;
  const least = /^[\da-fA-F]+$/.test(value) ? MIN_HEX_ENTROPY : MIN_ENTROPY;
  return entropy(value) >= least;
}

/** Bits per character. Sixteen different characters have 4, a drawn hexadecimal text of 32 about 3.6. */
export function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  const shares = [...counts.values()].map((count) => count / text.length);
  return shares.reduce((total, share) => total - share * Math.log2(share), 0);
}

/** Whether the file's name says that it holds secrets. Examples of such files do not. */
export function isSecretFile(path: string): boolean {
  const name = path.split("/").at(-1)?.toLowerCase() ?? "";
  if (/(?:example|sample|template|dist|defaults?)$/.test(name)) return false;
  return SECRET_FILES.test(name);
}

const MIN_ENTROPY = 3.5;
const MIN_HEX_ENTROPY = 3;

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

const SECRET_FILES =
  /^(?:\.env(?:\..+)?|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pgpass|\.git-credentials|\.htpasswd|credentials|.+\.(?:p12|pfx|jks|keystore|kdbx|ppk))$/;

const PLACEHOLDER =
  /x{4}|\*{3}|\.{3}|example|placeholder|change[-_]?me|your[-_]|dummy|sample|fake|redacted|[$%]\{|\{\{|<|process\.env|(.)\1{7}|0123456789|1234567890|abcdefgh/i;

function isPlaceholder(value: string): boolean {
  return PLACEHOLDER.test(value);
}
