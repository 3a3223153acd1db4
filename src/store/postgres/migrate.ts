/**
 * Brings a PostgreSQL database to this program's version, in one transaction that other processes wait for. Older
 * programs may be at work meanwhile; a migration that they would not survive is refused while they are.
 */
import { Kysely, sql, type Transaction } from "kysely";
import { hasCode } from "../../core/errors.ts";
import {
  checkUsable,
  type DatabaseVersion,
  oldestProgram,
  type Program,
  pending,
} from "../migrations/compatibility.ts";
import { type Migrated, needsMigration, stopOthersFirst } from "../migrations/outcome.ts";
import type { Schema } from "../schema.ts";
import { createPool } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { kyselyDialect } from "./kysely-dialect.ts";

/** Any number that no other program takes in this database; held while migrating. */
const MIGRATION_LOCK = 7_626_001;
/** How long a migration waits for a table. Whoever wants the table too waits behind it, so it is not long. */
const TABLE_LOCK_TIMEOUT_MS = 3000;
/** How often a migration is begun anew that got a table too late, or at cross purposes with another transaction. */
const MAX_ATTEMPTS = 5;

export interface MigrationTarget {
  url: string;
  location: string;
  program: Program;
}

/** Throws `STORE_NEWER` for a database of a later program that this one cannot work beside. */
export async function migratePostgres(kysely: Kysely<Schema>, target: MigrationTarget): Promise<Migrated> {
  const { version } = await checkedVersion(kysely, target);
  if (version >= target.program.length) return { from: version, to: version };
  // Connections of its own: an index of a large table takes longer than any other statement may.
  const pool = createPool(target.url, { isPatient: true });
  const patient = new Kysely<unknown>({ dialect: kyselyDialect(pool, target.location) });
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await patient.transaction().execute((transaction) => applyPending(transaction, target));
      } catch (error) {
        if (!hasCode(error, "STORE_BUSY") || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  } catch (error) {
    throw toStoreError(error, target.location);
  } finally {
    await patient.destroy();
  }
}

/** Throws when the database is not of this program's version, nor of a later one that it can work beside. */
export async function checkVersion(kysely: Kysely<Schema>, target: MigrationTarget): Promise<Migrated> {
  const { version } = await checkedVersion(kysely, target);
  const known = target.program.length;
  if (version < known) throw needsMigration({ location: target.location, version, known });
  return { from: version, to: version };
}

/** Throws `STORE_NEWER`. */
async function checkedVersion(kysely: Kysely<Schema>, target: MigrationTarget): Promise<DatabaseVersion> {
  try {
    const found = await currentVersion(kysely);
    checkUsable(found, target);
    return found;
  } catch (error) {
    throw toStoreError(error, target.location);
  }
}

async function applyPending(
  transaction: Transaction<unknown>,
  { location, program }: MigrationTarget,
): Promise<Migrated> {
  await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(transaction);
  await sql`set local lock_timeout = ${sql.lit(TABLE_LOCK_TIMEOUT_MS)}`.execute(transaction);
  await sql`create table if not exists robson_schema (version integer not null)`.execute(transaction);
  await sql`alter table robson_schema add column if not exists oldest_program integer`.execute(transaction);
  // Read again under the lock: another process may have been first, a newer program even.
  const found = await currentVersion(transaction);
  checkUsable(found, { location, program });
  const { version: from } = found;
  const known = program.length;
  if (from >= known) return { from, to: from };
  const { steps, isBesideOthers } = pending(program, from);
  const owner = isBesideOthers ? undefined : await keepOthersOut(transaction);
  if (owner !== undefined) throw stopOthersFirst({ location, version: from, known, owner });
  for (const { up } of steps) await up(transaction, { dialect: "postgres" });
  await sql`delete from robson_schema`.execute(transaction);
  await sql`insert into robson_schema (version, oldest_program)
    values (${known}, ${oldestProgram(program)})`.execute(transaction);
  return { from, to: known };
}

/** Who works on the database; undefined for nobody, and then nobody begins to before the transaction ends. */
async function keepOthersOut(transaction: Transaction<unknown>): Promise<string | undefined> {
  if (!(await hasTable(transaction, "processes"))) return undefined;
  await sql`lock table processes in share row exclusive mode`.execute(transaction);
  const { rows } = await sql<{ names: string | null }>`select string_agg(name, ', ' order by id) as names
    from processes where expires_at >= now()`.execute(transaction);
  return rows[0]?.names ?? undefined;
}

async function currentVersion(kysely: Kysely<Schema> | Kysely<unknown>): Promise<DatabaseVersion> {
  if (!(await hasTable(kysely, "robson_schema"))) return { version: 0, oldestProgram: 0 };
  // As JSON, because databases of early versions do not have the second column.
  const { rows } = await sql<{ row: { version: number; oldest_program?: number | null } }>`
    select to_json(s) as row from robson_schema s`.execute(kysely);
  const { version = 0, oldest_program: oldest } = rows[0]?.row ?? {};
  return { version, oldestProgram: oldest ?? version };
}

async function hasTable(kysely: Kysely<Schema> | Kysely<unknown>, table: string): Promise<boolean> {
  const { rows } = await sql<{ name: string | null }>`select to_regclass(${table})::text as name`.execute(
    kysely,
  );
  return rows[0]?.name != null;
}
