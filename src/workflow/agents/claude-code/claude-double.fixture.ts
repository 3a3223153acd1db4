/**
 * Stands for the real `claude -p` in tests: as strict with its arguments as 2.1.330, whose output it plays. See
 * `recorded/`: each was printed by the real program, against a model that was played.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import {
  flood,
  hang,
  hasSession,
  ignoreSignals,
  keepSession,
  play,
  print,
  refuse,
  runCommand,
  sceneOf,
  writeFile,
} from "../../../testing/recorded-program.fixture.ts";
import type { AgentScene } from "../../../testing/test-coding-agent.ts";
import { isRecord, parseObject } from "../../agent-program.ts";

const from = join(import.meta.dirname, "recorded");
const home = process.env.HOME ?? refuse("no HOME");
const options = readOptions();
/** Where it asks its starter for leave, stdin has a message a line, and stays open. */
const isAsking = options["permission-prompt-tool"] !== undefined;
const spoken = isAsking ? createInterface({ input: process.stdin })[Symbol.asyncIterator]() : undefined;
const prompt = spoken ? promptOf(await heard()) : readFileSync(0, "utf8");
if (prompt.trim() === "") {
  refuse("Error: Input must be provided either through stdin or as a prompt argument when using --print");
}
const allowed = (options["allowed-tools"] ?? options.allowedTools ?? "").split(",");
const session = options.resume ?? randomUUID();
writeFile(join(home, "arguments.json"), JSON.stringify(process.argv.slice(2)));
await main();

async function main(): Promise<void> {
  const sessionFile = join(home, ".claude", "projects", session);
  if (options.resume !== undefined && !hasSession(sessionFile)) {
    process.stderr.write(`No conversation found with session ID: ${session}\n`);
    await perform("session-lost");
    process.exit(1);
  }
  if (!process.env.ANTHROPIC_API_KEY && !process.env.CLAUDE_CODE_OAUTH_TOKEN) {
    await perform("no-key");
    process.exit(1);
  }
  keepSession(sessionFile);
  const { DOUBLE_RECORDING } = process.env;
  if (DOUBLE_RECORDING === "asks") return asks();
  await (DOUBLE_RECORDING ? perform(DOUBLE_RECORDING) : scenes()[sceneOf(home)]());
}

function scenes(): Record<AgentScene, () => Promise<void>> {
  return {
    edits: () => perform("edits"),
    "goes on": () => perform(options.resume === undefined ? "goes-on-1" : "goes-on-2"),
    spends: () => perform(options["max-budget-usd"] === undefined ? "edits" : "spends"),
    "is refused": () => perform("refused"),
    "gives up": () => perform("gives-up"),
    waits: () => perform("waits"),
    "is overloaded": () => perform("overloaded"),
    async "is unauthorized"() {
      await perform("unauthorized");
      // The real one goes on trying for minutes.
      await hang();
    },
    async hangs() {
      if (options.resume !== undefined) return perform("goes-on-2");
      ignoreSignals();
      await perform("hangs-1");
      await hang();
    },
    floods: () => flood(),
    "leaves a program": () => perform("leaves"),
    dies: () => perform("edits", 1),
  };
}

/** Waits for leave to run a command, and for the end of its stdin behind its result. */
async function asks(): Promise<void> {
  await perform("asks");
  const { type, response } = await heard();
  const answer = isRecord(response) && isRecord(response.response) ? response.response : {};
  if (type !== "control_response") refuse(`It was asked for leave, and said ${String(type)}`);
  if (answer.behavior === "allow" && isRecord(answer.updatedInput))
    await runCommand(String(answer.updatedInput.command));
  await perform(answer.behavior === "allow" ? "asks-allowed" : "asks-denied");
  const more = await spoken?.next();
  if (!more?.done) refuse("It was spoken to behind its result");
}

async function heard(): Promise<Record<string, unknown>> {
  const line = await spoken?.next();
  return parseObject(String(line?.value)) ?? refuse("Error: its input is no JSON");
}

function promptOf({ type, message }: Record<string, unknown>): string {
  return type === "user" && isRecord(message) ? String(message.content) : "";
}

function perform(name: string, lines?: number): Promise<void> {
  return play(name, { from, session, act, ...(lines === undefined ? {} : { lines }) });
}

/** Uses the tools for real, and ends as the result says. */
async function act({ type, message, is_error: isError }: Record<string, unknown>): Promise<void> {
  if (type === "result" && isError === true) process.exitCode = 1;
  if (type !== "assistant" || !isRecord(message) || !Array.isArray(message.content)) return;
  for (const block of message.content) {
    if (isRecord(block) && block.type === "tool_use" && isRecord(block.input))
      await runTool(block.name, block.input);
  }
}

async function runTool(name: unknown, input: Record<string, unknown>): Promise<void> {
  const path = String(input.file_path);
  if (name === "Write" && path.startsWith(process.cwd())) writeFile(path, String(input.content));
  if (name !== "Bash" || isAsking) return;
  if (!allowed.includes("Bash")) refuse("the recording has Bash allowed, the call has not");
  await runCommand(String(input.command));
}

function readOptions() {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    const { values } = parseArgs({
      options: {
        ...{ print: { ...flag, short: "p" }, verbose: flag, "strict-mcp-config": flag },
        ...{ "output-format": text, "permission-mode": text, allowedTools: text, "allowed-tools": text },
        ...{ disallowedTools: text, "setting-sources": text, "append-system-prompt": text, settings: text },
        ...{ "input-format": text, "permission-prompt-tool": text },
        ...{ model: text, resume: text, "max-budget-usd": text, "max-turns": text },
      },
    });
    if (!values.print) refuse("Error: this is not a terminal");
    if (values["output-format"] === "stream-json" && !values.verbose) {
      refuse("Error: When using --print, --output-format=stream-json requires --verbose");
    }
    if (values["permission-prompt-tool"] !== undefined) {
      // Another name is that of a tool of an MCP server; without messages on stdin nobody can answer.
      if (values["permission-prompt-tool"] !== "stdio" || values["input-format"] !== "stream-json")
        refuse("Tool permission request failed: AbortError: Stream closed");
    }
    if (values["output-format"] !== "stream-json") print("I have done it.");
    return values;
  } catch (error) {
    return refuse(`error: unknown option: ${String(error)}`);
  }
}
