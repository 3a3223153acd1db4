/** Brings a PostgreSQL database to this program's version, in one transaction that other processes wait for. */
import { type Kysely, sql } from "kysely";
import { migrations, SCHEMA_VERSION } from "../migrations/index.ts";
import { type Migrated, needsMigration, newerThanProgram } from "../migrations/outcome.ts";
import type { Schema } from "../schema.ts";
import { toStoreError } from "./errors.ts";

/** Any number that no other program takes in this database; held while migrating. */
const MIGRATION_LOCK = 7_626_001;

/** Throws `STORE_NEWER` for a database of a later program. */
export async function migratePostgres(kysely: Kysely<Schema>, location: string): Promise<Migrated> {
  try {
    const version = await currentVersion(kysely);
    if (version > SCHEMA_VERSION) throw newerThanProgram({ location, version });
    if (version === SCHEMA_VERSION) return { from: version, to: version };
    return await kysely.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(transaction);
      await sql`create table if not exists robson_schema (version integer not null)`.execute(transaction);
      // Read again under the lock: another process may have been first.
      const from = await currentVersion(transaction);
      const untyped = transaction as unknown as Kysely<unknown>;
      for (const { version, up } of migrations)
        if (version > from) await up(untyped, { dialect: "postgres" });
      await sql`delete from robson_schema`.execute(transaction);
      await sql`insert into robson_schema (version) values (${SCHEMA_VERSION})`.execute(transaction);
      return { from, to: SCHEMA_VERSION };
    });
  } catch (error) {
    throw toStoreError(error, location);
  }
}

/** Throws when the database is not of this program's version. */
export async function checkVersion(kysely: Kysely<Schema>, location: string): Promise<Migrated> {
  try {
    const version = await currentVersion(kysely);
    if (version > SCHEMA_VERSION) throw newerThanProgram({ location, version });
    if (version < SCHEMA_VERSION) throw needsMigration({ location, version });
    return { from: version, to: version };
  } catch (error) {
    throw toStoreError(error, location);
  }
}

async function currentVersion(kysely: Kysely<Schema>): Promise<number> {
  const known = await sql<{ name: string | null }>`select to_regclass('robson_schema')::text as name`.execute(
    kysely,
  );
  if (!known.rows[0]?.name) return 0;
  const { rows } = await sql<{ version: number }>`select version from robson_schema`.execute(kysely);
  return rows[0]?.version ?? 0;
}
