/**
 * Claude Code, by its own command line: `claude -p` reads the prompt on stdin and reports one event a line (tried with
 * 2.1.330). Its exit code counts for nothing: it is 0 after an interrupt, and `subtype: "success"` may stand beside
 * `is_error: true`. Its sessions are files in `HOME`, so that a killed one is resumed where its home is kept.
 */
import { refuseWithoutKey, runAgentProgram } from "../../agent-program.ts";
import type { AgentRequest, CodingAgent } from "../../coding-agent.ts";
import { ASKING_ARGS, asMessage, leaveDialogue, RUNNING_TOOLS } from "./leave.ts";
import { claudeTurn, KEY_HINT } from "./turn.ts";

export interface ClaudeCodeOptions {
  /** The program. Default: `claude` on the PATH. */
  command?: string | undefined;
  /** Default: the one that Claude Code takes by itself. */
  model?: string | undefined;
  /** Added to the arguments, at their end. */
  extraArgs?: string[] | undefined;
  /** Variables that reach the agent: its key, the address of its provider. */
  environment?: Record<string, string> | undefined;
}

/**
 * What it may do without asking, besides editing files of the checkout (`acceptEdits`; a rule for Edit or Write would
 * allow that everywhere). Where nobody answers, everything else is refused. What commands reach is the sandbox's affair.
 */
const ALLOWED_TOOLS = [
  ..."Bash,BashOutput,KillShell,TaskOutput,TaskStop,Monitor,Read,Glob,Grep,LS".split(","),
  ..."Agent,Task,TodoWrite,TaskCreate,TaskUpdate,TaskList,TaskGet,ToolSearch,Skill".split(","),
];
/** What would take the work elsewhere than into the checkout, or to another time. */
const DISALLOWED_TOOLS = "EnterWorktree,ExitWorktree,CronCreate,ScheduleWakeup,AskUserQuestion".split(",");

/** Its notes come with the settings, which are not read; so it is told of them. */
const PROJECT_NOTES =
  "If there is a CLAUDE.md or AGENTS.md in the working directory, read it first: it says how this project wants to be worked on.";

const ENVIRONMENT = {
  DISABLE_AUTOUPDATER: "1",
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
};

/** Claude Code as a coding agent. */
export function claudeCodeAgent(options: ClaudeCodeOptions = {}): CodingAgent {
  return {
    name: "claude-code",
    holdsBudget: true,
    check: async () => refuseWithoutKey("claude-code", { environment: options.environment, hint: KEY_HINT }),
    async run(request) {
      const turn = claudeTurn(request);
      const end = await runAgentProgram(request, {
        agent: "claude-code",
        command: options.command ?? "claude",
        args: claudeArgs(request, options),
        ...(request.permit
          ? { input: asMessage(request.prompt), dialogue: leaveDialogue(request.permit.bind(request)) }
          : {}),
        environment: { ...ENVIRONMENT, ...options.environment },
        installHint:
          "Install Claude Code (npm install -g @anthropic-ai/claude-code), or set agents.claude_code.command to its path",
        onObject: turn.read,
      });
      return turn.result(end);
    },
  };
}

function claudeArgs(
  { resume, maxCostUsd, permit }: AgentRequest,
  { model, extraArgs = [] }: ClaudeCodeOptions,
): string[] {
  const allowed = permit ? ALLOWED_TOOLS.filter((tool) => !RUNNING_TOOLS.includes(tool)) : ALLOWED_TOOLS;
  return [
    ...["-p", "--output-format", "stream-json", "--verbose"],
    ...["--permission-mode", "acceptEdits", "--allowedTools", allowed.join(",")],
    ...(permit ? ASKING_ARGS : []),
    ...["--disallowedTools", DISALLOWED_TOOLS.join(",")],
    // The project's own settings could send the key to another address, and run programs, unasked.
    ...["--setting-sources", "user", "--strict-mcp-config", "--append-system-prompt", PROJECT_NOTES],
    ...(model === undefined ? [] : ["--model", model]),
    ...(maxCostUsd === undefined ? [] : ["--max-budget-usd", String(maxCostUsd)]),
    ...(resume === undefined ? [] : ["--resume", resume.sessionId]),
    ...extraArgs,
  ];
}
