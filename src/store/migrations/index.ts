/**
 * The migrations in their order. One that has landed is never edited; a change of the tables is a new file.
 * The database remembers the number of the last one it has (SQLite: user_version; PostgreSQL: robson_schema), and
 * which programs can work on it since (compatibility.ts). The rules: docs/concepts/upgrades.md.
 */
import type { Kysely } from "kysely";

export interface MigrationContext {
  dialect: "sqlite" | "postgres";
}

export interface Migration {
  version: number;
  name: string;
  /**
   * The oldest version whose programs keep working when this migration is done beside them; it only adds then.
   * Absent: it is refused while such a program works, and they do not start on the database afterwards.
   */
  worksWith?: number;
  up(db: Kysely<unknown>, context: MigrationContext): Promise<void>;
}

export const migrations: readonly Migration[] = [
  { version: 1, name: "initial", up: later(() => import("./0001-initial.ts")) },
  { version: 2, name: "records", up: later(() => import("./0002-records.ts")) },
  { version: 3, name: "event-feed", up: later(() => import("./0003-event-feed.ts")) },
  { version: 4, name: "cluster", up: later(() => import("./0004-cluster.ts")) },
  { version: 5, name: "retention", worksWith: 4, up: later(() => import("./0005-retention.ts")) },
  // A program that knows no runs would handle the message of one a second time, from its beginning.
  { version: 6, name: "runs", up: later(() => import("./0006-runs.ts")) },
  {
    ...{ version: 7, name: "pull-request-drafts", worksWith: 6 },
    up: later(() => import("./0007-pull-request-drafts.ts")),
  },
  { version: 8, name: "rounds", worksWith: 6, up: later(() => import("./0008-rounds.ts")) },
];

/** A migration is loaded when it is done, and Kysely with it: most starts need neither. */
function later(load: () => Promise<Pick<Migration, "up">>): Migration["up"] {
  return async (db, context) => (await load()).up(db, context);
}

/** The version of a database that this program needs. */
export const SCHEMA_VERSION = migrations.length;
