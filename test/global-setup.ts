/** Before all tests: one PostgreSQL server for the run. A test gets its own database by `createDatabase(t)`. */
import type { TestProject } from "vitest/node";
import { startPostgres } from "../src/testing/postgres/start-postgres.ts";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startPostgres();
  project.provide("postgresUrl", postgres.url);
  return () => postgres.stop();
}
