import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configReference, PAGE } from "./config-reference.ts";

const example = readFileSync(new URL("../robson.example.toml", import.meta.url), "utf8");

test("the page on the configuration is what `npm run docs:config` makes", () => {
  expect(readFileSync(PAGE, "utf8")).toBe(configReference(example));
});

test("a key that the example shows without a comment is named", () => {
  const withoutComment = example.replace("# How many callback URLs may subscribe\n", "");

  expect(() => configReference(withoutComment)).toThrow(
    "robson.example.toml says nothing of webhook.max_subscribers: put a comment above it",
  );
});

test("a key shows its type, its default and its meaning, and one that a row needs says so", () => {
  const lines = configReference(example).split("\n");

  expect(lines).toContain("| `port` | number, 0 to 65535 | `7420` | Its port; 0 for a free one |");
  expect(lines).toContain("| `url` | text | *needed* | The address, as tasks name it |");
  expect(lines).toContain(
    '| `links` | `"allow"`, `"ask"`, `"refuse"` | `"refuse"` | Symbolic links that lead out of the repository |',
  );
});
