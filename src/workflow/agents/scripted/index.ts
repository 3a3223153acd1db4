/**
 * The coding agent of the demo and the tests: a child process that follows a script and speaks in events, one
 * JSON object a line. Its own word counts, not its exit code; without a result event it has failed.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, RobsonError } from "../../../core/errors.ts";
import { preview } from "../../../core/text.ts";
import { runProcess } from "../../child-process.ts";
import type { AgentRequest, AgentResult, CodingAgent } from "../../coding-agent.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../../limits.ts";
import { type AgentLine, parseLine, parseScript } from "./protocol.ts";

export interface ScriptedAgentOptions {
  /** The script, a JSON file. Without one the agent can do nothing, and says so before any work. */
  scriptFile?: string | undefined;
  limits?: Partial<WorkflowLimits>;
}

/** How many characters of an agent's stderr an error carries. */
const MAX_SHOWN_ERROR = 500;

/** An agent that does what a script says. */
export function scriptedAgent({ scriptFile, limits }: ScriptedAgentOptions): CodingAgent {
  return {
    name: "scripted",
    check: async () => void (await checkScript(scriptFile)),
    run: async (request) =>
      runAgent(request, {
        scriptFile: await checkScript(scriptFile),
        limits: { ...DEFAULT_WORKFLOW_LIMITS, ...limits },
      }),
  };
}

async function runAgent(
  request: AgentRequest,
  { scriptFile, limits }: { scriptFile: string; limits: WorkflowLimits },
): Promise<AgentResult> {
  const { directory, environment, signal } = request;
  const promptFile = join(environment.HOME ?? directory, "prompt.md");
  await writeFile(promptFile, request.prompt);

  let result: Extract<AgentLine, { type: "result" }> | undefined;
  const end = await runProcess({
    command: process.execPath,
    args: ["--disable-warning=ExperimentalWarning", agentProgram(), resolve(scriptFile), promptFile],
    directory,
    environment,
    timeoutMs: limits.agentTimeoutMs,
    limits,
    signal,
    onLine: (line) => {
      const event = parseLine(line);
      if (event?.type === "result") result = event;
      else if (event) request.onEvent(event);
    },
  });
  signal.throwIfAborted();
  if (end.endedBy === "timeout")
    throw failed(`it took longer than agentTimeoutMs (${limits.agentTimeoutMs} ms)`);
  if (end.endedBy === "output") {
    throw failed(`it printed more than maxProcessOutputBytes (${limits.maxProcessOutputBytes})`);
  }
  if (result === undefined) {
    const said = preview(end.stderr.trim(), MAX_SHOWN_ERROR);
    throw failed(
      `it ended without a result (exit code ${end.exitCode ?? "none"})${said === "" ? "" : `: ${said}`}`,
    );
  }
  return { isSuccess: result.isSuccess, summary: result.summary };
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

function unusable(why: string, options: { hint: string; cause?: unknown }): RobsonError {
  return new RobsonError("AGENT_FAILED", `Cannot run the agent "scripted": ${why}`, options);
}

/** The program beside this file: source or compiled, as this file is. */
function agentProgram(): string {
  const name = import.meta.url.endsWith(".ts") ? "agent-process.ts" : "agent-process.js";
  return fileURLToPath(new URL(name, import.meta.url));
}

function failed(why: string): RobsonError {
  return new RobsonError("AGENT_FAILED", `The agent "scripted" failed: ${why}`, {
    hint: "Nothing was pushed. Look at its script, then run the task again",
  });
}
