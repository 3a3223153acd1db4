/**
 * The real agents: how each is installed, pointed at the played model and configured, and what its own tool calls look
 * like. Nothing of it is an account: the keys are made up, the homes are scratch folders.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { acpAgent } from "../src/workflow/agents/acp/index.ts";
import { claudeCodeAgent } from "../src/workflow/agents/claude-code/index.ts";
import { codexAgent } from "../src/workflow/agents/codex/index.ts";
import type { CodingAgent } from "../src/workflow/coding-agent.ts";
import type { WorkflowLimits } from "../src/workflow/limits.ts";
import type { Reply } from "./model.ts";

export const KEY = "sk-ant-made-up-for-the-tests";

export interface RealAgent {
  /** As `workflow.agent` names it. */
  name: string;
  /** The npm package; its version is the one that is tested. */
  packageName: string;
  create(limits: WorkflowLimits, setting: Setting): CodingAgent;
  /** Its section of robson.toml. */
  config(setting: Setting): string;
  /** What must be in Robson's own environment for it. */
  environment(setting: Setting): Record<string, string>;
  edit(file: string, content: string): Reply;
  command(command: string): Reply;
  /** What it must ask for first; default: an edit outside of its checkout. Its own refusals are not told by all. */
  needsLeave?(): Reply;
  /** Each request of it is for work: none for titles and the like, and the played model does not see its tools. */
  asksOnlyForWork?: boolean;
  /** What it cannot do, by the name of the scenario, with the reason. */
  cannot: Record<string, string>;
}

export interface Setting {
  modelUrl: string;
  key: string;
  /** Asks before it edits or runs anything, where it can be told to. */
  isCautious?: boolean;
  /** Gives up soon when its model is away, where it can be told to. */
  isImpatient?: boolean;
}

const NO_BUDGET = "it tells no cost, and has no option for a budget";
const NO_REFUSAL = "without a person to ask, its own sandbox refuses, which it tells nobody";

export const REAL_AGENTS: RealAgent[] = [
  {
    name: "claude-code",
    packageName: "@anthropic-ai/claude-code",
    create: (_limits, setting) =>
      claudeCodeAgent({ command: bin("claude"), environment: anthropic(setting) }),
    config: () => `[agents.claude_code]\ncommand = ${text(bin("claude"))}\n`,
    environment: anthropic,
    edit: (file, content) => ({ tool: "Write", input: { file_path: file, content } }),
    command: (command) => ({ tool: "Bash", input: { command, description: "Runs it" } }),
    cannot: {},
  },
  {
    name: "codex",
    packageName: "@openai/codex",
    create: (_limits, setting) =>
      codexAgent({
        command: bin("codex"),
        environment: { CODEX_API_KEY: setting.key },
        extraArgs: codexArgs(setting),
        isSandboxed: true,
      }),
    config: (setting) =>
      `[agents.codex]\ncommand = ${text(bin("codex"))}\nextra_args = ${JSON.stringify(codexArgs(setting))}\n`,
    environment: ({ key }) => ({ CODEX_API_KEY: key }),
    edit: (file, content) => ({
      tool: "exec_command",
      input: { cmd: `cat > ${quote(file)} <<'EOF'\n${content}EOF` },
    }),
    command: (command) => ({ tool: "exec_command", input: { cmd: command, yield_time_ms: 60_000 } }),
    asksOnlyForWork: true,
    cannot: { budget: NO_BUDGET, refused: NO_REFUSAL, asked: "it is run in its mode that asks nobody" },
  },
  acp({
    name: "claude-agent-acp",
    packageName: "@agentclientprotocol/claude-agent-acp",
    program: "claude-agent-acp",
    environment: anthropic,
    mode: ({ isCautious }) => (isCautious ? "default" : "acceptEdits"),
    edit: (file, content) => ({ tool: "Write", input: { file_path: file, content } }),
    command: (command) => ({ tool: "Bash", input: { command, description: "Runs it" } }),
    cannot: {},
  }),
  acp({
    name: "opencode",
    // Of opencode-ai, what Linux on x64 runs; not all of its other platforms are in every registry.
    packageName: "opencode-linux-x64-baseline",
    program: "../opencode-linux-x64-baseline/bin/opencode",
    args: ["acp"],
    environment: (setting) => ({ OPENCODE_CONFIG_CONTENT: JSON.stringify(opencodeConfig(setting)) }),
    edit: (file, content) => ({ tool: "write", input: { filePath: file, content } }),
    command: (command) => ({ tool: "bash", input: { command, description: "Runs it" } }),
    cannot: {
      budget: "it tells its cost at the end of a turn only",
      overloaded: "it tries again without end and without a word; the stall limit ends it",
    },
  }),
  acp({
    name: "gemini",
    packageName: "@google/gemini-cli",
    program: "gemini",
    args: ["--acp", "--skip-trust", "-m", "gemini-2.5-pro"],
    authMethod: "gemini-api-key",
    environment: ({ modelUrl, key }) => ({ GOOGLE_GEMINI_BASE_URL: modelUrl, GEMINI_API_KEY: key }),
    mode: ({ isCautious }) => (isCautious ? "default" : "yolo"),
    edit: (file, content) => ({ tool: "write_file", input: { file_path: file, content } }),
    needsLeave: () => ({ tool: "run_shell_command", input: { command: "touch elsewhere.js" } }),
    command: (command) => ({ tool: "run_shell_command", input: { command, description: "Runs it" } }),
    cannot: {
      budget: NO_BUDGET,
      killed: "it keeps no session of a turn in which it was killed: a lost one is told",
    },
  }),
];

/** The version that is installed. */
export function versionOf({ packageName }: RealAgent): string {
  const file = join(import.meta.dirname, "node_modules", packageName, "package.json");
  return JSON.parse(readFileSync(file, "utf8")).version;
}

interface AcpParts extends Omit<RealAgent, "create" | "config"> {
  program: string;
  args?: string[];
  authMethod?: string;
  mode?(setting: Setting): string;
}

function acp({ program, args = [], authMethod, mode, ...agent }: AcpParts): RealAgent {
  const command = bin(program);
  return {
    ...agent,
    create: (limits, setting) =>
      acpAgent({
        ...{ name: agent.name, command, args, limits, authMethod },
        mode: mode?.(setting),
        environment: agent.environment(setting),
      }),
    config: (setting) =>
      [
        "[[agents.acp]]",
        `name = ${text(agent.name)}`,
        `command = ${text(command)}`,
        `args = ${JSON.stringify(args)}`,
        ...(authMethod === undefined ? [] : [`auth_method = ${text(authMethod)}`]),
        ...(mode === undefined ? [] : [`mode = ${text(mode(setting))}`]),
        `environment = ${JSON.stringify(Object.keys(agent.environment(setting)))}`,
        "",
      ].join("\n"),
  };
}

function anthropic({ modelUrl, key, isImpatient }: Setting): Record<string, string> {
  return {
    ANTHROPIC_BASE_URL: modelUrl,
    ANTHROPIC_API_KEY: key,
    ...(isImpatient ? { CLAUDE_CODE_MAX_RETRIES: "1" } : {}),
  };
}

/** Over HTTP: by its other way, WebSocket, it says nothing of a refused key. */
function codexArgs({ modelUrl }: Setting): string[] {
  const provider = `{name="Played",base_url=${text(`${modelUrl}/v1`)},env_key="CODEX_API_KEY",wire_api="responses"}`;
  return ["-c", 'model_provider="played"', "-c", `model_providers.played=${provider}`];
}

function opencodeConfig({ modelUrl, key, isCautious }: Setting) {
  const model = { name: "Big", cost: { input: 5, output: 25 }, limit: { context: 200_000, output: 32_000 } };
  const options = { baseURL: `${modelUrl}/v1`, apiKey: key };
  return {
    model: "played/big",
    autoupdate: false,
    permission: isCautious ? { edit: "ask", bash: "ask" } : {},
    provider: {
      played: { npm: "@ai-sdk/openai-compatible", name: "Played", options, models: { big: model } },
    },
  };
}

function bin(name: string): string {
  return join(import.meta.dirname, "node_modules", ".bin", name);
}

/** A string as TOML writes it. */
function text(value: string): string {
  return JSON.stringify(value);
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
