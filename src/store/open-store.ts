/** Opens the database that a location names: a file (or `sqlite:file`), or a `postgres://` URL. */
import { resolve } from "node:path";
import { RobsonError } from "../core/errors.ts";
import type { OpenedStore } from "./opened-store.ts";
import { openSqliteStore } from "./sqlite/store.ts";

export interface OpenStoreOptions {
  /** Default true: bring the tables to this program's version. False: refuse a database that needs it. */
  migrate?: boolean;
}

/** Nothing is owned yet, and nothing runs; `close` it when done. */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<OpenedStore> {
  const { migrate = true } = options;
  if (/^postgres(ql)?:\/\//i.test(location)) {
    const { openPostgresStore } = await import("./postgres/store.ts");
    return openPostgresStore(location, { migrate });
  }
  const file = location.replace(/^sqlite:(\/\/)?/i, "");
  if (file === "" || file.startsWith(":memory:") || /^[a-z][a-z0-9+.-]+:\/\//i.test(file)) {
    throw new RobsonError("STORE_LOCATION_INVALID", `Cannot open a database at "${file}": it names no file`, {
      hint: 'Give a file such as "robson.db", or a URL that starts with postgres://',
    });
  }
  return openSqliteStore(resolve(file), { migrate });
}
