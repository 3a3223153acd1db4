/**
 * The coding agent of the demo and the tests: a child process that follows a script and speaks in events, one
 * JSON object a line. Its own word counts, not its exit code; without a result event it has failed.
 */
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { RobsonError } from "../../../core/errors.ts";
import { preview } from "../../../core/text.ts";
import { runProcess } from "../../child-process.ts";
import type { AgentRequest, AgentResult, CodingAgent } from "../../coding-agent.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../../limits.ts";
import { type AgentLine, parseLine } from "./protocol.ts";

export interface ScriptedAgentOptions {
  /** The script, a JSON file. */
  scriptFile: string;
  limits?: Partial<WorkflowLimits>;
}

/** How many characters of an agent's stderr an error carries. */
const MAX_SHOWN_ERROR = 500;

/** An agent that does what a script says. */
export function scriptedAgent({ scriptFile, limits }: ScriptedAgentOptions): CodingAgent {
  return {
    name: "scripted",
    run: (request) => runAgent(request, { scriptFile, limits: { ...DEFAULT_WORKFLOW_LIMITS, ...limits } }),
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
