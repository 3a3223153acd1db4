import { readFile } from "node:fs/promises";
import { expect, onTestFinished, test } from "vitest";
import { aRepository } from "./gates/repository.fixture.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "./limits.ts";
import { parseRepositoryFile, readRepositoryRules } from "./repository-settings.ts";

const t = { onTestFinished };
const options = { limits: DEFAULT_WORKFLOW_LIMITS, signal: new AbortController().signal };

const FILE = `verify = [["npm", "ci"], ["npm", "test"]]
protected_paths = ["infra/"]
prompt = """
Keep to docs/style.md.
"""
`;

test("the base's file is read, not what stands in the checkout or in the agent's change", async () => {
  const { workspace, stage } = await aRepository(t, { ".robson.toml": FILE });
  await stage({ ".robson.toml": "verify = []\n" });

  expect(await readRepositoryRules(workspace, undefined, options)).toEqual({
    verify: {
      commands: [
        ["npm", "ci"],
        ["npm", "test"],
      ],
      source: ".robson.toml",
    },
    template: { text: "Keep to docs/style.md.\n", source: "the maintainers, in .robson.toml" },
    protectedPaths: ["infra/"],
  });
});

test("the operator's word goes before the repository's, and protected paths are those of both", async () => {
  const { workspace } = await aRepository(t, { ".robson.toml": FILE });
  const configured = { verify: [["make"]], prompt: "Ours", protectedPaths: ["*.sql"] };

  expect(await readRepositoryRules(workspace, configured, options)).toEqual({
    verify: { commands: [["make"]], source: "robson.toml" },
    template: { text: "Ours", source: "the maintainers, in robson.toml" },
    protectedPaths: ["*.sql", "infra/"],
  });
});

test("the example of the reference can be used", async () => {
  const page = await readFile(new URL("../../docs/reference/repository-file.md", import.meta.url), "utf8");
  const [, toml = ""] = /```toml\n([\s\S]*?)```/.exec(page) ?? [];

  expect(parseRepositoryFile(toml)).toMatchObject({
    verify: [
      ["npm", "ci"],
      ["npm", "test"],
    ],
    protectedPaths: ["infra/", "*.sql"],
    prompt: expect.stringContaining("{{task}}"),
  });
});

test("without a file nothing is set, and a link of that name is no file", async () => {
  const without = await aRepository(t, { "a.txt": "a" });
  const linked = await aRepository(t, { ".robson.toml": { link: "a.toml" }, "a.toml": FILE });

  expect(await readRepositoryRules(without.workspace, undefined, options)).toEqual({ protectedPaths: [] });
  expect(await readRepositoryRules(linked.workspace, undefined, options)).toEqual({ protectedPaths: [] });
});

test("a file over its size is refused with the limit's name", async () => {
  const { workspace } = await aRepository(t, { ".robson.toml": `# ${"x".repeat(70_000)}\n` });

  await expect(readRepositoryRules(workspace, undefined, options)).rejects.toMatchObject({
    code: "REPOSITORY_INVALID",
    message: expect.stringMatching(
      /^Cannot use \.robson\.toml of the branch main \([0-9a-f]{12}\): .*maxRepositoryFileBytes/,
    ),
  });
});

test.each([
  ["\nverfy = []", 'line 2, column 1: a repository cannot set "verfy"', 'Did you mean "verify"?'],
  [
    '[workflow]\nsandbox = "none"',
    'line 1, column 2: a repository cannot set "workflow"',
    "Known here: verify, prompt, protected_paths; all else is for robson.toml, which the operator writes",
  ],
  ['gates = { secrets = "allow" }', 'line 1, column 1: a repository cannot set "gates"', "Known here: "],
  [
    '\nverify = ["npm test"]',
    "line 2, column 11: verify[0]: invalid input: expected array",
    'verify = [["npm", "ci"]',
  ],
  ['protected_paths = ["!infra"]', "line 1, column 20: protected_paths[0]: a pattern can only add", "infra/"],
  ['prompt = "{{secret}}"', "line 1, column 1: prompt: it names {{secret}}; known are", '"""'],
  ["verify = [", "line 1, column", "Correct that line"],
])("%j is refused with its line, and what to write", (toml, message, hint) => {
  let error: unknown;
  try {
    parseRepositoryFile(toml);
  } catch (caught) {
    error = caught;
  }
  expect(error).toMatchObject({
    code: "REPOSITORY_INVALID",
    retry: "never",
    message: expect.stringContaining(`Cannot use .robson.toml: ${message}`),
    hint: expect.stringContaining(hint),
  });
});
