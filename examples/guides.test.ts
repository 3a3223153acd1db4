/** That the guides show the examples as they are: ```ts file=examples/worker.ts holds that file, to the letter. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const read = (file: string) => readFileSync(join(root, file), "utf8");

const shown = globSync("docs/{concepts,guides}/*.md", { cwd: root }).flatMap((guide) =>
  [...read(guide).matchAll(/^```\w+ file=(\S+)\n([\s\S]*?)^```$/gm)].map(
    ([, file = "", code = ""]) => [guide, file, code] as const,
  ),
);

test.each(shown)("%s shows %s as it is", (_guide, file, code) => {
  expect(code).toBe(read(file));
});

test("the guides show all examples", () => {
  const files = [
    "gateway.test.ts",
    "gateway.ts",
    "release.test.ts",
    "release.ts",
    "robson.toml",
    "worker.test.ts",
    "worker.ts",
  ];
  expect(shown.map(([, file]) => file).sort()).toEqual(files.map((name) => `examples/${name}`));
});
