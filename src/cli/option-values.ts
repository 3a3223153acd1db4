/** The values of options, from the text that they are given as; what is wrong with one says how it is written. */
import { InvalidArgumentError } from "commander";

const MAX_COUNT = 1_000_000;

/** A whole number. */
export function positive(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_COUNT) return count;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_COUNT}.`);
}

/** US dollars. */
export function dollars(text: string): number {
  const amount = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(amount) && amount > 0) return amount;
  throw new InvalidArgumentError("Write US dollars as a number above 0, as in 0.5.");
}

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, of a time as in 2h. */
export function age(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError("Write a number and s, m, h or d, as in 2h.");
  return Number(number) * UNITS[unit as keyof typeof UNITS];
}

/** All the values of an option that may be repeated. */
export function collect(value: string, former: string[]): string[] {
  return [...former, value];
}
