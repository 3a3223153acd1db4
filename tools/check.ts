/**
 * `npm run check`: everything that a change must pass, cheapest first, and an end at the first that fails.
 * What is passed to it goes on to the tests: `npm run check -- src/core`. Import arrows are one of the tests.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { tooLongFiles } from "./limits.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const steps: { name: string; passes: () => boolean }[] = [
  { name: "format and lint", passes: () => runs("biome", ["check", "--error-on-warnings"]) },
  { name: "types", passes: () => runs("tsc", []) },
  { name: "file lengths", passes: () => hasNone(tooLongFiles(root)) },
  { name: "tests", passes: () => runs("npm", ["test", "--", ...process.argv.slice(2)]) },
];

for (const { name, passes } of steps) {
  say(`── ${name}`);
  if (passes()) continue;
  say(`Check failed at: ${name}`);
  process.exit(1);
}
say(`Check passed: ${steps.map(({ name }) => name).join(", ")}`);

/** npm puts the commands of node_modules/.bin in the path. */
function runs(command: string, args: string[]): boolean {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error !== undefined) say(`Cannot run ${command}: ${error.message}`);
  return status === 0;
}

function hasNone(problems: string[]): boolean {
  for (const problem of problems) say(problem);
  return problems.length === 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
