/**
 * Before all tests: `dist/` as it would be published, for those that run real processes, and one PostgreSQL
 * server, of which a test gets its own database by `createDatabase(t)`. `ROBSON_SKIP_BUILD=1` leaves `dist/` as it is.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { startPostgres } from "../src/testing/postgres/start-postgres.ts";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const build = process.env.ROBSON_SKIP_BUILD
    ? Promise.resolve()
    : promisify(execFile)(process.execPath, [join(import.meta.dirname, "../tools/build.ts")]);
  // A build that fails shows in the tests that run it; the others are worth running all the same.
  const reported = build.catch((error) => process.stderr.write(`${error}\n`));
  const [postgres] = await Promise.all([startPostgres(), reported]);
  project.provide("postgresUrl", postgres.url);
  return () => postgres.stop();
}
