/**
 * What the cold queries need of a database: reads through Kysely, writes as compiled statements that go
 * through the same writer as everything else (two writers on one SQLite file would block each other).
 */
import type { CompiledQuery, Kysely } from "kysely";
import type { Schema } from "./schema.ts";

export type Rows = Record<string, unknown>[];

export interface Sql {
  readonly dialect: "sqlite" | "postgres";
  /** Compiles statements, and runs those that only read. */
  readonly read: Kysely<Schema>;
  /** Runs the statements in one transaction and returns the rows of each (`returning`). Not fenced. */
  write(queries: CompiledQuery[]): Promise<Rows[]>;
}
