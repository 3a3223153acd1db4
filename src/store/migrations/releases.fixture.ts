/** Other releases of Robson for tests: the same program with a migration more, on either database. */
import { DatabaseSync } from "node:sqlite";
import { Kysely } from "kysely";
import type { OpenedStore } from "../opened-store.ts";
import { createPool } from "../postgres/connection.ts";
import { kyselyDialect as postgresDialect } from "../postgres/kysely-dialect.ts";
import { migratePostgres } from "../postgres/migrate.ts";
import { openPostgresStore } from "../postgres/store.ts";
import type { Schema } from "../schema.ts";
import { kyselyDialect as sqliteDialect } from "../sqlite/kysely-dialect.ts";
import { migrateSqlite } from "../sqlite/migrate.ts";
import { openSqliteStore } from "../sqlite/store.ts";
import { type Program, thisProgram } from "./compatibility.ts";
import type { Migration } from "./index.ts";

type Dialect = "sqlite" | "postgres";

export const THIS_VERSION = thisProgram.length;

/** This program and one more migration. */
export function nextRelease(migration: Pick<Migration, "up" | "worksWith">): Program {
  return [...thisProgram, { version: THIS_VERSION + 1, name: "next", ...migration }];
}

/** Opens the database as another release does, its migrations included. */
export function openAs(program: Program, location: string): Promise<OpenedStore> {
  const options = { migrate: true, program };
  return location.startsWith("postgres:")
    ? openPostgresStore(location, options)
    : openSqliteStore(location, options);
}

/** Migrates as another release does, whose statements this one cannot run, and lets `look` see what came of it. */
export async function migrateAs<T>(
  program: Program,
  { location, look }: { location: string; look(db: Kysely<unknown>, dialect: Dialect): Promise<T> },
): Promise<T> {
  const isPostgres = location.startsWith("postgres:");
  const pool = createPool(location);
  const db = new Kysely<Schema>({
    dialect: isPostgres
      ? postgresDialect(pool, location)
      : sqliteDialect(new DatabaseSync(location), location),
  });
  try {
    if (isPostgres) await migratePostgres(pool, { url: location, location, program });
    else await migrateSqlite(location, program);
    return await look(db as unknown as Kysely<unknown>, isPostgres ? "postgres" : "sqlite");
  } finally {
    await db.destroy();
  }
}

/** What a migration may do beside older programs: columns with and without a default, a table, an index. */
export async function addThings(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("conversations").addColumn("mood", "text").execute();
  await db.schema
    .alterTable("inbox")
    .addColumn("urgency", "integer", (column) => column.notNull().defaultTo(7))
    .execute();
  await db.schema
    .alterTable("process_event_deliveries")
    .addColumn("cost", "integer", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createTable("moods")
    .addColumn("name", "text", (column) => column.primaryKey())
    .execute();
  await db.schema.createIndex("conversations_mood").on("conversations").column("mood").execute();
}
