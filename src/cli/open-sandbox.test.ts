import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { openSandbox } from "./open-sandbox.ts";

let cwd: string;
beforeEach(async (t) => {
  cwd = await temporaryFolder(t);
});

function open(toml: string, env: Record<string, string> = {}) {
  writeFileSync(join(cwd, "robson.toml"), toml);
  return openSandbox(loadConfig({ cwd, env: {} }), { cwd, env });
}

test("without a word in robson.toml there is bubblewrap, no network, no variable, nothing to read", () => {
  const { sandbox, rules, environment } = open("", { API_KEY: "secret" });

  expect(sandbox.name).toBe("bubblewrap");
  expect(rules).toEqual({ readable: [], allowedDomains: [] });
  expect(environment).toEqual({});
});

test("what stands in [sandbox] is handed on; paths are relative to the file", () => {
  const sandbox = 'allow_domains = ["example.org"]\nenvironment = ["API_KEY"]\nreadable = ["tools"]';

  const opened = open(`[workflow]\nsandbox = "none"\n[sandbox]\n${sandbox}`, { API_KEY: "key", OTHER: "x" });

  expect(opened.sandbox.name).toBe("none");
  expect(opened.rules).toEqual({ readable: [join(cwd, "tools")], allowedDomains: ["example.org"] });
  expect(opened.environment).toEqual({ API_KEY: "key" });
});

test("the variable with a token of Robson's git cannot be handed on", () => {
  const credentials = '[[git_credentials]]\nhost = "git.example"\ntoken_env = "FORGE_TOKEN"';

  expect(() => open(`[sandbox]\nenvironment = ["FORGE_TOKEN"]\n${credentials}`)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("FORGE_TOKEN") }),
  );
});

test.each(['allow_domains = ["https://x.example"]', 'environment = ["ROBSON_TOKEN"]'])(
  "a mistake in the setting %s is told with its place",
  (setting) => {
    expect(() => open(`[sandbox]\n${setting}`)).toThrow(
      expect.objectContaining({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(/robson\.toml: line 2/),
      }),
    );
  },
);

test.each(["robson.db", "robson.toml", ".env", "robson.log"])(
  "no rule opens %s, which is Robson's own",
  async (name) => {
    const { sandbox } = open(`[log]\nfile = "robson.log"`);
    writeFileSync(join(cwd, name), name === "robson.toml" ? "" : "secret");
    const program = { command: "/bin/true", args: [], directory: cwd, environment: {} };

    const wrapped = sandbox.wrap(program, { writable: [], readable: [join(cwd, name)], allowedDomains: [] });

    await expect(wrapped).rejects.toMatchObject({
      code: expect.stringMatching(/SANDBOX_(REFUSED|UNAVAILABLE)/),
    });
  },
);
