import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../src/core/errors.ts";

const reference = readFileSync(new URL("../docs/reference/errors.md", import.meta.url), "utf8");
/** The rows of its tables: each begins with a code. */
const rows = reference
  .split("\n")
  .filter((line) => /^\| `[A-Z_]+` \|/.test(line))
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .map(([, code = "", ...cells]) => ({ code: code.replaceAll("`", ""), cells: cells.slice(0, -1) }));

test("the reference explains every error code, each once, and no other, in the order of the list", () => {
  expect(rows.map(({ code }) => code)).toEqual([...ERROR_CODES]);
});

test("the reference says of each code when it happens and what to do", () => {
  const withoutWords = rows.filter(({ cells }) => cells.length < 2 || cells.some((cell) => cell === ""));
  expect(withoutWords).toEqual([]);
});
