/** Opens the database that a location names: a file (or `sqlite:file`), or a `postgres://` URL. */
import { parseLocation } from "./location.ts";
import type { OpenedStore } from "./opened-store.ts";
import { openSqliteStore } from "./sqlite/store.ts";

export interface OpenStoreOptions {
  /** Default true: bring the tables to this program's version. False: refuse a database that needs it. */
  migrate?: boolean;
}

/** Nothing is owned yet, and nothing runs; `close` it when done. */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<OpenedStore> {
  const { migrate = true } = options;
  const parsed = parseLocation(location);
  if (parsed.kind === "sqlite") return openSqliteStore(parsed.file, { migrate });
  const { openPostgresStore } = await import("./postgres/store.ts");
  return openPostgresStore(parsed.url, { migrate });
}
