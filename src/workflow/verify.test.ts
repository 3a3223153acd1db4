import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { stageTree } from "./commit.ts";
import { git } from "./git.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "./limits.ts";
import { detectCommands } from "./verify.ts";
import type { Workspace } from "./workspace.ts";

const options = { signal: new AbortController().signal, limits: DEFAULT_WORKFLOW_LIMITS };

let workspace: Workspace;

beforeEach(async () => {
  const root = mkdtempSync(join(tmpdir(), "robson-verify-"));
  const repository = join(root, "repository");
  const checkout = join(root, "checkout");
  mkdirSync(checkout);
  const inRepository = { ...options, directory: root, repository };
  await git(["init", "--quiet"], inRepository);
  const tree = (await git(["hash-object", "-t", "tree", "-w", "/dev/null"], inRepository)).trim();
  const baseSha = (await git(["commit-tree", tree, "-m", "Nothing yet"], inRepository)).trim();
  workspace = { root, repository, checkout, baseSha, base: "main", repoUrl: "file:///none", environment: {} };
});
afterEach(() => rmSync(workspace.root, { recursive: true, force: true }));

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
  for (const [name, content] of Object.entries(files)) writeFileSync(join(workspace.checkout, name), content);
  const tree = (await stageTree(workspace, options)) ?? "";

  expect(await detectCommands(workspace, { ...options, tree })).toEqual(commands);
});
