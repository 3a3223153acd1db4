/**
 * The simulation's own test: a core or a store that is broken in one line is found out, each way within a few seeds.
 * A mutant is made as its file is read, in a process of its own; nothing on disk changes.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MUTANTS, type Mutant } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");

for (const mutant of MUTANTS)
  test.concurrent(`it is noticed when ${mutant.name}`, { timeout: 300_000 }, async () => {
    const { code, output } = await simulate(mutant);

    // On PostgreSQL a few run at a time, and more than one may find it.
    expect(output).toMatch(/, [1-9]\d* failed, /);
    expect(code).toBe(1);
  });

function simulate({ name, store, maxSeeds }: Mutant): Promise<{ code: number | null; output: string }> {
  const flags = ["--disable-warning=ExperimentalWarning", "--import=./test/sim/mutate.ts"];
  const options = ["--store", store, "--count", String(maxSeeds), "--first"];
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [...flags, "test/sim/main.ts", ...options],
      { cwd: ROOT, env: { ...process.env, ROBSON_MUTANT: name } },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, output: stdout + stderr }),
    );
  });
}
