import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DEFAULT_GATE_POLICIES } from "../workflow/gates/policy.ts";
import { defaultSettings } from "./config-schema.ts";
import { loadConfig } from "./load-config.ts";

function load(toml: string) {
  const cwd = mkdtempSync(join(tmpdir(), "robson-config-"));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, "robson.toml"), toml);
  return loadConfig({ cwd, env: {} });
}

test("every gate has its default in the configuration", () => {
  expect(defaultSettings().gates).toEqual({ ...DEFAULT_GATE_POLICIES, protect: [] });
});

test("a gate takes allow, ask and refuse alone", () => {
  const config = load('[gates]\nlock_files = "ask"\nsecrets = "allow"\nprotect = ["infra/"]\n');
  expect(config.gates).toEqual({
    ...DEFAULT_GATE_POLICIES,
    lockFiles: "ask",
    secrets: "allow",
    protect: ["infra/"],
  });

  expect(() => load('[gates]\ndiff_size = "never"\n')).toThrow(
    'gates.diff_size is the text "never", but must be one of "allow", "ask", "refuse"',
  );
});

test("a repository has a template and protected paths, and a template with an unknown name is refused", () => {
  const row = '[[repositories]]\nurl = "https://example.org/shop.git"\n';
  const [repository] = load(`${row}prompt = "On {{branch}}"\nprotected_paths = ["infra/"]\n`).repositories;
  expect(repository).toMatchObject({ prompt: "On {{branch}}", protectedPaths: ["infra/"] });

  expect(() => load(`${row}prompt = "{{nonsense}}"\n`)).toThrow(
    /it names \{\{nonsense\}\}; known are \{\{task\}\}/,
  );
});

test.each(['"npm test"', '["npm", "test"]'])(
  "checks are lists of words, and %s is answered with how",
  (verify) => {
    expect(() =>
      load(`[[repositories]]\nurl = "https://example.org/shop.git"\nverify = ${verify}\n`),
    ).toThrow('a list of commands, each a list of words, as in [["npm", "ci"], ["npm", "test"]]');
  },
);

test("pull requests are ready for review, or drafts", () => {
  expect(load("").workflow.pullRequests).toBe("ready");
  expect(load('[workflow]\npull_requests = "draft"\n').workflow.pullRequests).toBe("draft");
});
