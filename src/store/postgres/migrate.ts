/**
 * Brings a PostgreSQL database to this program's version, in one transaction that other processes wait for. Older
 * programs may be at work meanwhile; a migration that they would not survive is refused while they are.
 */
import type { Transaction } from "kysely";
import type { Pool } from "pg";
import { hasCode } from "../../core/errors.ts";
import {
  checkUsable,
  type DatabaseVersion,
  oldestProgram,
  type Program,
  pending,
} from "../migrations/compatibility.ts";
import { type Migrated, needsMigration, stopOthersFirst } from "../migrations/outcome.ts";
import { createPool, HAVE_PATIENCE } from "./connection.ts";
import { toStoreError } from "./errors.ts";

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
export async function migratePostgres(pool: Pool, target: MigrationTarget): Promise<Migrated> {
  const { version } = await checkedVersion(pool, target);
  if (version >= target.program.length) return { from: version, to: version };
  // Connections of its own: an index of a large table takes longer than any other statement may.
  const [{ CompiledQuery, Kysely }, { kyselyDialect }] = await Promise.all([
    import("kysely"),
    import("./kysely-dialect.ts"),
  ]);
  const patient = new Kysely<unknown>({
    dialect: kyselyDialect(createPool(target.url, { isPatient: true }), target.location),
  });
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await patient.transaction().execute((transaction) => {
          const query: Query = async (text, values = []) =>
            (await transaction.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, values))).rows;
          return applyPending(transaction, { ...target, query });
        });
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
export async function checkVersion(pool: Pool, target: MigrationTarget): Promise<Migrated> {
  const { version } = await checkedVersion(pool, target);
  const known = target.program.length;
  if (version < known) throw needsMigration({ location: target.location, version, known });
  return { from: version, to: version };
}

/** Throws `STORE_NEWER`. */
async function checkedVersion(pool: Pool, target: MigrationTarget): Promise<DatabaseVersion> {
  try {
    const found = await currentVersion(async (text, values) => (await pool.query(text, values)).rows);
    checkUsable(found, target);
    return found;
  } catch (error) {
    throw toStoreError(error, target.location);
  }
}

/** Runs one statement of the transaction, or of its own. */
type Query = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;

async function applyPending(
  transaction: Transaction<unknown>,
  { location, program, query }: MigrationTarget & { query: Query },
): Promise<Migrated> {
  await query(HAVE_PATIENCE);
  await query("select pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
  await query(`set local lock_timeout = ${TABLE_LOCK_TIMEOUT_MS}`);
  await query("create table if not exists robson_schema (version integer not null)");
  await query("alter table robson_schema add column if not exists oldest_program integer");
  // Read again under the lock: another process may have been first, a newer program even.
  const found = await currentVersion(query);
  checkUsable(found, { location, program });
  const { version: from } = found;
  const known = program.length;
  if (from >= known) return { from, to: from };
  const { steps, isBesideOthers } = pending(program, from);
  const owner = isBesideOthers ? undefined : await keepOthersOut(query);
  if (owner !== undefined) throw stopOthersFirst({ location, version: from, known, owner });
  for (const { up } of steps) await up(transaction, { dialect: "postgres" });
  await query("delete from robson_schema");
  const version = [known, oldestProgram(program)];
  await query("insert into robson_schema (version, oldest_program) values ($1, $2)", version);
  return { from, to: known };
}

/** Who works on the database; undefined for nobody, and then nobody begins to before the transaction ends. */
async function keepOthersOut(query: Query): Promise<string | undefined> {
  if (!(await hasTable(query, "processes"))) return undefined;
  await query("lock table processes in share row exclusive mode");
  const [row] = await query(
    "select string_agg(name, ', ' order by id) as names from processes where expires_at >= now()",
  );
  return row?.names == null ? undefined : String(row.names);
}

async function currentVersion(query: Query): Promise<DatabaseVersion> {
  if (!(await hasTable(query, "robson_schema"))) return { version: 0, oldestProgram: 0 };
  // As JSON, because databases of early versions do not have the second column.
  const [found] = await query("select to_json(s) as row from robson_schema s");
  const row = found?.row as { version: number; oldest_program?: number | null } | undefined;
  const version = row?.version ?? 0;
  return { version, oldestProgram: row?.oldest_program ?? version };
}

async function hasTable(query: Query, table: string): Promise<boolean> {
  const [row] = await query("select to_regclass($1)::text as name", [table]);
  return row?.name != null;
}
