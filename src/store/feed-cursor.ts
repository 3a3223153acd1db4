/** Cursors of the feed of events: a place in it, as text that compares as the places do. */
import { RobsonError } from "../core/errors.ts";
import type { Sql } from "./sql.ts";

type Dialect = Sql["dialect"];

/** A place in the feed: behind this event of this transaction. On SQLite the transaction is always 0. */
export interface Place {
  transaction: number;
  id: number;
}

/** Digits of a safe integer in base 36; written in full, so that cursors compare as strings. */
const DIGITS = 11;
const LETTER = { sqlite: "s", postgres: "p" } as const;

/** The place before every event. */
export function beginningOf(dialect: Dialect): string {
  return toCursor(dialect, { transaction: 0, id: 0 });
}

export function toCursor(dialect: Dialect, { transaction, id }: Place): string {
  const numbers = dialect === "sqlite" ? [id] : [transaction, id];
  return LETTER[dialect] + numbers.map((number) => number.toString(36).padStart(DIGITS, "0")).join("");
}

/** Throws `MESSAGE_INVALID` for what is no cursor of this database. */
export function toPlace(dialect: Dialect, cursor: string): Place {
  const parts = /^([sp])([0-9a-z]{11})([0-9a-z]{11})?$/.exec(cursor);
  if (!parts || (parts[1] === "p") !== (parts[3] !== undefined)) {
    throw foreignCursor("it is not one that was given out");
  }
  if (parts[1] !== LETTER[dialect]) throw foreignCursor("it is of another database");
  const [first = 0, second = 0] = parts.slice(2).map((part) => Number.parseInt(part ?? "0", 36));
  return dialect === "sqlite" ? { transaction: 0, id: first } : { transaction: first, id: second };
}

export function foreignCursor(why: string): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot read on from this event id: ${why}`, {
    hint: "Begin without Last-Event-ID, and read what you may have missed from the conversations",
  });
}
