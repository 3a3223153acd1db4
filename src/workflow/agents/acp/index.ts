/**
 * Any agent that speaks the Agent Client Protocol (agentclientprotocol.com), by its command: claude-agent-acp,
 * codex-acp, `gemini --acp`, `opencode acp`. The protocol itself is in turn.ts, which is loaded with the first turn.
 */
import { agentFailed } from "../../agent-program.ts";
import type { CodingAgent } from "../../coding-agent.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../../limits.ts";
import type { AcpSettings } from "./failures.ts";

export interface AcpAgentOptions extends Partial<Omit<AcpSettings, "limits">> {
  limits?: Partial<WorkflowLimits>;
}

/** An agent that is started by `command` and `args` and spoken to on its stdin and stdout. */
export function acpAgent(options: AcpAgentOptions): CodingAgent {
  const { name = "acp", command, args = [] } = options;
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, ...options.limits };
  const settings = () => {
    if (command !== undefined) return { ...options, name, command, args, limits };
    throw agentFailed(name, "it has no command", {
      hint: `Set command in its [[agents.acp]] of robson.toml, as in: command = "claude-agent-acp"`,
    });
  };
  return {
    name,
    check: async () => void settings(),
    run: async (request) => {
      const complete = settings();
      const { runTurn } = await import("./turn.ts");
      return await runTurn(request, complete);
    },
  };
}
