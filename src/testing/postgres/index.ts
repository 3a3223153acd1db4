/** A real PostgreSQL for tests: `startPostgres()` once per run, `createDatabase(t)` for each test. */
export { createDatabase, type DatabaseOptions, type TestDatabase } from "./database.ts";
export { type PostgresOptions, type RunningPostgres, startPostgres } from "./start-postgres.ts";
