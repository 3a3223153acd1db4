/**
 * Builds `dist/`, the published form: JavaScript and declarations, without tests. Compiles beside it and then
 * changes places, so that a build that fails leaves the former one as it was.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
const built = `${dist}-${process.pid}`;
const former = `${built}-former`;

try {
  compile();
  checkThatItRuns();
  if (existsSync(dist)) renameSync(dist, former);
  renameSync(built, dist);
} catch (error) {
  process.stderr.write(`Cannot build: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  for (const folder of [built, former]) rmSync(folder, { recursive: true, force: true });
}

function compile(): void {
  const tsc = join(root, "node_modules", ".bin", "tsc");
  const { status } = spawnSync(tsc, ["--project", "tsconfig.build.json", "--outDir", built], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("the compiler refused the sources, for the reasons above");
}

function checkThatItRuns(): void {
  const version = execFileSync(process.execPath, [join(built, "cli", "main.js"), "--version"], {
    encoding: "utf8",
  });
  process.stderr.write(`Built robson ${version.trim()}\n`);
}
