/**
 * The core under a thousand accidents: each seed is a small world in which processes die, freeze and stop, writes
 * and sends fail, and messages come twice. `npm run sim -- --seed N` runs one again and shows its turns.
 */
import { expect, test } from "vitest";
import { runSeed } from "./run-seed.ts";

/** As many as a minute of one core holds; `npm run sim` runs more. */
const SEEDS = Number(process.env.ROBSON_SIM_SEEDS ?? 2000);
const MAX_MS = 60_000;

test("whatever happens, messages end once, events arrive in order, and nothing is left over", {
  timeout: 10 * MAX_MS,
}, async () => {
  const startedAt = performance.now();
  let count = 0;
  for (let seed = 0; seed < SEEDS && performance.now() - startedAt < MAX_MS; seed += 1) {
    const { violations } = await runSeed(seed);
    expect(violations, `seed ${seed}: repeat it with npm run sim -- --seed ${seed}`).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    count += 1;
  }
  // On whatever machine: fewer would show nothing.
  expect(count).toBeGreaterThan(100);
});

test("a seed gives the same run each time", async () => {
  for (const seed of [3, 41, 1703]) {
    const lines: string[][] = [];
    for (const run of [0, 1]) {
      lines[run] = [];
      await runSeed(seed, (line) => lines[run]?.push(line));
    }
    expect(lines[0]?.length).toBeGreaterThan(50);
    expect(lines[1]).toEqual(lines[0]);
  }
});
