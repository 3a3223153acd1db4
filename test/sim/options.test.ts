import { expect, test } from "vitest";
import { readOptions } from "./options.ts";

test("a seed is run again alone, and shown; without one the model is asked for many", () => {
  const one = { kind: "sqlite", from: 4711, count: 1, isTraced: true, isFirstEnough: false };

  expect(readOptions(["--seed", "4711", "--store", "sqlite"])).toEqual(one);
  expect(readOptions(["--seed", "4711", "--store", "sqlite", "--quiet"])).toEqual({
    ...one,
    isTraced: false,
  });
  expect(readOptions(["--first"])).toMatchObject({
    kind: "memory",
    from: 0,
    isFirstEnough: true,
    isTraced: false,
  });
});

test.each([
  [["--help"], "Unknown option '--help'"],
  [["--store", "redis"], 'there is no store "redis"'],
  [["--count", "many"], '--count is "many", not a whole number'],
  [["--seed", "-1"], "--seed"],
])("what there is not is told with the usage: %s", (args, why) => {
  const read = () => readOptions(args);

  expect(read).toThrow(`Cannot run the simulation: `);
  expect(read).toThrow(why);
  expect(read).toThrow("npm run sim -- --seed N");
});
