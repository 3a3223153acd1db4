import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { detectCommands } from "./verify.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "robson-verify-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test.each([
  [
    "a test script in package.json is run by npm",
    { "package.json": '{"scripts":{"test":"x"}}' },
    [["npm", "test"]],
  ],
  [
    "test files without a script are run by node",
    { "package.json": "{}", "a.test.js": "" },
    [["node", "--test"]],
  ],
  ["a package.json alone shows no checks", { "package.json": "{}" }, []],
  ["a package.json that is not JSON shows no checks", { "package.json": "{" }, []],
  ["another project shows no checks", { "main.c": "", test: "" }, []],
])("%s", async (_name, files, commands) => {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);

  expect(await detectCommands(directory)).toEqual(commands);
});
