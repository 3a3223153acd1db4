/** What `npm run sim` was asked for, checked. */
import { parseArgs } from "node:util";
import { messageOf } from "../../src/core/errors.ts";
import { STORE_KINDS, type StoreKind } from "./world-database.ts";

const DEFAULT_COUNTS = { memory: 20_000, sqlite: 5000, postgres: 500 };

const USAGE = `npm run sim -- [--store ${STORE_KINDS.join("|")}] [--from N] [--count N] [--first]   looks for seeds that fail
npm run sim -- --seed N [--store …] [--quiet]                            runs one again, and shows each turn`;

export interface SimOptions {
  kind: StoreKind;
  from: number;
  count: number;
  /** Whether each turn is shown. */
  isTraced: boolean;
  /** Whether it stops at the first seed that fails. */
  isFirstEnough: boolean;
}

/** Throws an error with the usage. */
export function readOptions(args: string[]): SimOptions {
  const values = parsed(args);
  const kind = STORE_KINDS.find((known) => known === values.store);
  if (!kind) throw misused(`there is no store "${values.store}"`);
  const from = wholeNumber("--from or --seed", values.seed ?? values.from ?? "0");
  const count = values.seed === undefined ? (values.count ?? `${DEFAULT_COUNTS[kind]}`) : "1";
  return {
    kind,
    from,
    count: wholeNumber("--count", count),
    isTraced: values.seed !== undefined && values.quiet !== true,
    isFirstEnough: values.first === true,
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        seed: { type: "string" },
        from: { type: "string" },
        count: { type: "string" },
        store: { type: "string", default: "memory" },
        quiet: { type: "boolean" },
        first: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw misused(messageOf(error));
  }
}

function wholeNumber(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw misused(`${option} is "${text}", not a whole number`);
}

function misused(why: string): Error {
  return new Error(`Cannot run the simulation: ${why}\n${USAGE}`);
}
