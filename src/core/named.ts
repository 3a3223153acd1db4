/** How an error names a value of a wrong kind: what it is, without showing it. */

/** `a text`, `an array`, `undefined`: as a part of a sentence. */
export function named(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (value === "") return "an empty text";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Promise) return "a promise";
  const type = typeof value;
  if (type === "string") return "a text";
  return type === "object" ? "an object" : `a ${type}`;
}
