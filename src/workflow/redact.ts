/** Takes secrets out of text by their values, also as JSON, URLs and base64 would carry them. */

/** Shorter values are words that stand in honest text too. Not for the configuration: no key of a provider is so short. */
const MIN_SECRET_LENGTH = 8;

const REPLACEMENT = "[redacted]";

/** A function that takes these values out of any text. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const forms = new Set(secrets.filter((secret) => secret.length >= MIN_SECRET_LENGTH).flatMap(formsOf));
  // The longest first: a secret may begin with another one.
  const sorted = [...forms].sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const form of sorted) clean = clean.replaceAll(form, REPLACEMENT);
    return clean;
  };
}

function formsOf(secret: string): string[] {
  const inJson = JSON.stringify(secret).slice(1, -1);
  const base64 = Buffer.from(secret).toString("base64");
  return [secret, inJson, inJson.replaceAll("/", "\\/"), encodeURIComponent(secret), base64];
}
