/** Opens the database of a command, and closes it whatever happens. */
import type { Config } from "../config/load-config.ts";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";

/** Runs `use` on the configured database, whose tables are brought up to date first. */
export async function withStore<T>(config: Config, use: (store: OpenedStore) => Promise<T>): Promise<T> {
  const store = await openStore(config.database.url);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
