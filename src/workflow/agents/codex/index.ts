/**
 * Codex, by its own command line: `codex exec --json` reads the prompt on stdin and reports one event a line (tried
 * with 0.169.0). It says neither its model nor a cost, and cannot hold a budget. Its sessions are files in
 * `HOME/.codex`, so that a killed one is resumed where its home is kept.
 */
import { refuseWithoutKey, runAgentProgram } from "../../agent-program.ts";
import type { AgentRequest, CodingAgent } from "../../coding-agent.ts";
import { codexTurn, KEY_HINT } from "./turn.ts";

export interface CodexOptions {
  /** The program. Default: `codex` on the PATH. */
  command?: string | undefined;
  /** Default: the one that Codex takes by itself. */
  model?: string | undefined;
  /** Added to the arguments, before the prompt. */
  extraArgs?: string[] | undefined;
  /** Variables that reach the agent: its key. */
  environment?: Record<string, string> | undefined;
  /** Whether Robson's sandbox stands around it; Codex then needs none of its own. Default: no. */
  isSandboxed?: boolean | undefined;
}

/** Codex as a coding agent. */
export function codexAgent(options: CodexOptions = {}): CodingAgent {
  return {
    name: "codex",
    holdsBudget: false,
    asksLeave: false,
    check: async () => refuseWithoutKey("codex", { environment: options.environment, hint: KEY_HINT }),
    async run(request) {
      const turn = codexTurn(request, { model: options.model });
      const end = await runAgentProgram(request, {
        agent: "codex",
        command: options.command ?? "codex",
        args: codexArgs(request, options),
        ...(options.environment ? { environment: options.environment } : {}),
        installHint: "Install Codex (npm install -g @openai/codex), or set agents.codex.command to its path",
        onObject: turn.read,
      });
      return turn.result(end);
    },
  };
}

function codexArgs(
  { resume }: AgentRequest,
  { model, extraArgs = [], isSandboxed = false }: CodexOptions,
): string[] {
  const sandbox = isSandboxed ? "danger-full-access" : "workspace-write";
  return [
    "exec",
    ...(resume === undefined ? [] : ["resume"]),
    ...["--json", "--skip-git-repo-check"],
    // As settings: `exec resume` has no --sandbox.
    ...["-c", `sandbox_mode="${sandbox}"`, "-c", 'approval_policy="never"'],
    ...(model === undefined ? [] : ["--model", model]),
    ...extraArgs,
    ...(resume === undefined ? [] : [resume.sessionId]),
    "-",
  ];
}
