import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { configuredAgents } from "./configured-agents.ts";

function agentsOf(toml: string, env: Record<string, string> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), "robson-agents-"));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, "robson.toml"), toml);
  return configuredAgents(loadConfig({ cwd, env }));
}

test("the agent of the workflow is the one that is named, and all of them can be named", () => {
  const { agent, agents } = agentsOf(`
    [workflow]
    agent = "gemini"
    [[agents.acp]]
    name = "gemini"
    command = "gemini"
    args = ["--acp"]`);

  expect(agent.name).toBe("gemini");
  expect(agents.map(({ name }) => name)).toEqual(["scripted", "claude-code", "codex", "gemini"]);
  expect(agents.map(({ domains }) => domains)).toEqual([
    undefined,
    ["api.anthropic.com"],
    ["api.openai.com"],
    [],
  ]);
});

test("an agent that is not there is refused with the nearest one and its place", () => {
  expect(() => agentsOf('[workflow]\nagent = "claude"')).toThrow(/line 2.*there is no agent "claude"/);
  expect(() => agentsOf('[workflow]\nagent = "claude-cod"')).toThrow(
    expect.objectContaining({ hint: 'Did you mean "claude-code"?' }),
  );
});

test("an agent that asks for no leave is refused where a person is to be asked, or leave is denied", () => {
  for (const policy of ["ask", "deny"]) {
    expect(() => agentsOf(`[workflow]\nagent = "codex"\npermissions = "${policy}"`)).toThrow(
      `line 3, column 1: workflow.permissions: the agent "codex" asks for no leave, so "${policy}" cannot be held`,
    );
  }
  for (const agent of ["scripted", "claude-code"])
    expect(agentsOf(`[workflow]\nagent = "${agent}"\npermissions = "ask"`).agent.name).toBe(agent);
});

test("two agents of one name are refused", () => {
  const toml = '[[agents.acp]]\nname = "codex"\ncommand = "codex-acp"';

  expect(() => agentsOf(toml)).toThrow(/there are two agents "codex"/);
});

test("what reaches an agent is secret but for addresses and names, and only what is named and set reaches one", () => {
  const { secrets } = agentsOf('[agents.codex]\nenvironment = ["MY_KEY", "MY_MODEL", "PROXY_URL"]', {
    MY_MODEL: "a-model",
    PROXY_URL: "https://me:word@proxy.example.org",
    ANTHROPIC_API_KEY: "sk-ant-made-up",
    ANTHROPIC_BASE_URL: "https://gateway.example.org",
    MY_KEY: "sk-my",
    CODEX_API_KEY: "sk-not-named",
  });

  expect(secrets.sort()).toEqual(["https://me:word@proxy.example.org", "sk-ant-made-up", "sk-my"]);
});

test("Robson's own secrets cannot be handed to an agent", () => {
  expect(() => agentsOf('[agents.codex]\nenvironment = ["ROBSON_TOKEN"]')).toThrow(/ROBSON_TOKEN/);
});

test("a host that is none is refused with its place", () => {
  expect(() => agentsOf('[agents.codex]\ndomains = ["https://x/y"]')).toThrow(/line 2.*https:\/\/x\/y/s);
});
