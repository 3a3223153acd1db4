/**
 * The coding agent of the demo and the tests: a child process that follows a script and speaks in events, one
 * JSON object a line. Its own word counts, not its exit code; without a result event it has failed.
 */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, WorkerError } from "../../../core/errors.ts";
import { agentUnauthorized, endedWithoutResult, runAgentProgram } from "../../agent-program.ts";
import type { AgentRequest, AgentResult, CodingAgent } from "../../coding-agent.ts";
import { type AgentLine, parseLine, parseScript, type TurnArguments } from "./protocol.ts";

export interface ScriptedAgentOptions {
  /** The script, a JSON file. Without one the agent can do nothing, and says so before any work. */
  scriptFile?: string | undefined;
}

/** An agent that does what a script says. */
export function scriptedAgent({ scriptFile }: ScriptedAgentOptions): CodingAgent {
  return {
    name: "scripted",
    holdsBudget: true,
    // Its program is a part of Robson, run by Robson's own node.
    readable: [
      process.execPath,
      dirname(agentProgram()),
      ...(scriptFile === undefined ? [] : [resolve(scriptFile)]),
    ],
    check: async () => void (await checkScript(scriptFile)),
    run: async (request) => runTurn(request, await checkScript(scriptFile)),
  };
}

async function runTurn(request: AgentRequest, scriptFile: string): Promise<AgentResult> {
  const turn: TurnArguments = {
    scriptFile: resolve(scriptFile),
    sessionId: request.resume?.sessionId,
    maxCostUsd: request.maxCostUsd,
  };
  let result: Extract<AgentLine, { type: "result" }> | undefined;
  let sessionId: string | undefined;
  const end = await runAgentProgram(request, {
    agent: "scripted",
    command: process.execPath,
    args: ["--disable-warning=ExperimentalWarning", agentProgram(), JSON.stringify(turn)],
    installHint: "It is the node that runs Robson: install Robson again",
    onObject(value) {
      const line = parseLine(value);
      if (line === undefined) return;
      if (line.type === "unauthorized") throw agentUnauthorized("scripted", line.text, "Correct its script");
      if (line.type === "usage" || line.type === "result") request.onUsage?.(line.usage);
      if (line.type === "result") result = line;
      if (line.type === "usage" || line.type === "result") return;
      if (line.type === "session") sessionId = line.id;
      request.onEvent(line);
    },
  });
  if (result === undefined) throw endedWithoutResult("scripted", end);
  const { outcome, summary, usage } = result;
  return { outcome, summary, ...(sessionId === undefined ? {} : { sessionId }), usage };
}

/** The script's path, once it is there and can be followed. */
async function checkScript(scriptFile: string | undefined): Promise<string> {
  if (scriptFile === undefined) {
    throw unusable("it has no script", {
      hint: "Set agents.scripted.script in robson.toml, or try `robson demo`, which brings its own",
    });
  }
  let text: string;
  try {
    text = await readFile(scriptFile, "utf8");
  } catch (cause) {
    throw unusable(`its script cannot be read: ${messageOf(cause)}`, {
      hint: "Correct agents.scripted.script in robson.toml; a relative path is relative to that file",
      cause,
    });
  }
  try {
    parseScript(text);
  } catch (cause) {
    throw unusable(`its script ${scriptFile} cannot be followed: ${messageOf(cause)}`, {
      hint: "Correct the script, then run the task again",
      cause,
    });
  }
  return scriptFile;
}

function unusable(why: string, options: { hint: string; cause?: unknown }): WorkerError {
  return new WorkerError(`Cannot run the agent "scripted": ${why}`, {
    code: "AGENT_FAILED",
    retry: "never",
    ...options,
  });
}

/** The program beside this file: source or compiled, as this file is. */
function agentProgram(): string {
  const name = import.meta.url.endsWith(".ts") ? "agent-process.ts" : "agent-process.js";
  return fileURLToPath(new URL(name, import.meta.url));
}
