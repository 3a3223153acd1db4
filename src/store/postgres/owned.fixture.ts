/** For tests: a store that owns a new database, and a client of another program on it. */
import { Client } from "pg";
import { createDatabase } from "../../testing/postgres/database.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { openStore } from "../open-store.ts";

/** The process is called `first`, and runs the gateway `a`. `setting`: of each of its connections, as `lock_timeout = '1s'`. */
export async function openOwned(t: TestEnd, setting?: string) {
  const { url, name } = await createDatabase(t);
  const other = await connectTo(t, url);
  if (setting !== undefined) await other.query(`alter database ${name} set ${setting}`);
  const store = await openStore(url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  return { url, store, ownership, other };
}

/** A connection beside the store's, closed after the test. */
export async function connectTo(t: TestEnd, url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  // The database is dropped under it.
  client.on("error", () => undefined);
  await client.connect();
  t.onTestFinished(() => client.end());
  return client;
}
