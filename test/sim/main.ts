/**
 * `npm run sim`: many seeds, or one again. `npm run sim -- --seed 4711` runs that seed and shows each turn;
 * `npm run sim -- --from 0 --count 100000` looks for a seed that fails, and with
 * `--first` stops there.
 */
import { parseArgs } from "node:util";
import { createRandom } from "./random.ts";
import { runSeed } from "./run-seed.ts";
import { createScenario } from "./scenario.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    from: { type: "string" },
    count: { type: "string" },
    quiet: { type: "boolean" },
    first: { type: "boolean" },
  },
});
const from = Number(values.seed ?? values.from ?? 0);
const count = values.seed === undefined ? Number(values.count ?? 20_000) : 1;
const trace = values.seed !== undefined && !values.quiet ? say : undefined;
if (trace) say(JSON.stringify(createScenario(from, createRandom(from)), undefined, 1));
const startedAt = performance.now();
let failed = 0;
let steps = 0;
for (let seed = from; seed < from + count; seed += 1) {
  const result = await runSeed(seed, trace);
  steps += result.steps;
  if (result.violations.length > 0) {
    failed += 1;
    say(`seed ${seed} (${result.steps} steps):`);
    for (const violation of result.violations) say(`  ${violation}`);
  }
  if (failed > 0 && values.first) break;
  await new Promise((resolve) => setImmediate(resolve));
}
say(`${count} seeds, ${failed} failed, ${steps} steps, ${Math.round(performance.now() - startedAt)} ms`);
process.exit(failed > 0 ? 1 : 0);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
