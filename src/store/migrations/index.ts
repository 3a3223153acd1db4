/**
 * The migrations in their order. One that has landed is never edited; a change of the tables is a new file.
 * The database remembers the number of the last one it has (SQLite: user_version; PostgreSQL: robson_schema), and
 * which programs can work on it since (compatibility.ts). The rules: docs/concepts/upgrades.md.
 */
import type { Kysely } from "kysely";
import * as initial from "./0001-initial.ts";
import * as records from "./0002-records.ts";
import * as eventFeed from "./0003-event-feed.ts";
import * as cluster from "./0004-cluster.ts";
import * as retention from "./0005-retention.ts";

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
  { version: 1, name: "initial", up: initial.up },
  { version: 2, name: "records", up: records.up },
  { version: 3, name: "event-feed", up: eventFeed.up },
  { version: 4, name: "cluster", up: cluster.up },
  { version: 5, name: "retention", worksWith: 4, up: retention.up },
];

/** The version of a database that this program needs. */
export const SCHEMA_VERSION = migrations.length;
