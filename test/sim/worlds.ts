/** The databases that a seed can run on, opened once for many seeds. */
import { createFolder, removeFolder } from "../../src/testing/temporary-folder.ts";
import { createMemoryWorld, type WorldOptions } from "./memory-world.ts";
import { createPostgresWorld, preparePostgres } from "./postgres-world.ts";
import type { Random } from "./random.ts";
import type { SimScheduler } from "./scheduler.ts";
import { createSqliteTemplate, createSqliteWorld } from "./sqlite-world.ts";
import type { StoreKind, WorldDatabase } from "./world-database.ts";

export interface SeedOptions extends WorldOptions {
  turns: SimScheduler;
  random: Random;
  violated(text: string): void;
}

export interface Databases {
  kind: StoreKind;
  create(options: SeedOptions): Promise<WorldDatabase>;
  close(): Promise<void>;
}

/** How many seeds on PostgreSQL are run at once: they mostly wait for what the server does by itself. */
export const POSTGRES_LANES = 3;

export const MEMORY: Databases = {
  kind: "memory",
  create: async (options) => createMemoryWorld(options),
  close: async () => undefined,
};

/** SQLite files, in memory where the machine has such a place. */
export async function sqliteDatabases(): Promise<Databases> {
  const folder = await createFolder();
  const template = await createSqliteTemplate(folder);
  return {
    kind: "sqlite",
    create: async (options) => createSqliteWorld({ ...options, template }),
    close: () => removeFolder(folder),
  };
}

/** An empty database of a PostgreSQL that is nobody else's. */
export async function postgresDatabases(url: string): Promise<Databases> {
  const database = await preparePostgres(url);
  return {
    kind: "postgres",
    create: (options) => createPostgresWorld({ ...options, database }),
    close: () => database.close(),
  };
}
