import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { gitCredentials } from "./git-settings.ts";

function configOf(toml: string, env: Record<string, string> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), "robson-git-settings-"));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, "robson.toml"), toml);
  return { cwd, config: loadConfig({ cwd, env }) };
}

const ROW = '[[git_credentials]]\nhost = "Git.example.org"\ntoken_env = "GIT_TOKEN"\n';

test("a host's token comes from the environment variable that is named, and its user has a default", () => {
  const { config } = configOf(ROW, { GIT_TOKEN: " t0ken\n" });

  expect(gitCredentials(config)).toEqual([
    { host: "git.example.org", username: "x-access-token", token: "t0ken", caFile: undefined },
  ]);
});

test("certificates alone need no token, and their path is relative to the file", () => {
  const { config, cwd } = configOf('[[git_credentials]]\nhost = "git.internal:443"\nca_file = "ca.pem"\n');

  expect(gitCredentials(config)).toEqual([
    { host: "git.internal", username: "x-access-token", caFile: join(cwd, "ca.pem") },
  ]);
});

test.each([
  ["is not set", {}],
  ["holds no token of one line", { GIT_TOKEN: "a\nhost=evil.test" }],
])("a variable that %s is refused with its line and its name, never with its value", (why, env) => {
  const { config } = configOf(ROW, env);

  expect(() => gitCredentials(config)).toThrow(
    expect.objectContaining({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(new RegExp(`line 3.*GIT_TOKEN ${why}`)),
      hint: expect.stringContaining("Set GIT_TOKEN"),
    }),
  );
  expect(() => gitCredentials(config)).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining("evil") }),
  );
});

test.each(['token = "t0ken"', 'host = "https://git.example.org"', 'token_env = "$GIT_TOKEN"'])(
  "%s in a row of credentials is refused",
  (line) => {
    const rest = line.startsWith("host") ? "" : 'host = "git.example.org"\n';

    expect(() => configOf(`[[git_credentials]]\n${rest}${line}\n`)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  },
);

test.each([
  "robson",
  "{slug}",
  "-{key}",
  "/{key}",
  "a..{key}",
  "{key}.lock",
  "{key}/",
  "a b/{key}",
  "{keys}",
])("a branch pattern %j is refused", (pattern) => {
  expect(() => configOf(`[workflow]\nbranch_pattern = ${JSON.stringify(pattern)}\n`)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("{key}") }),
  );
});

test("a branch pattern with the key in it is taken", () => {
  const { config } = configOf('[workflow]\nbranch_pattern = "bots/{slug}_{key}"\n');

  expect(config.workflow.branchPattern).toBe("bots/{slug}_{key}");
});
