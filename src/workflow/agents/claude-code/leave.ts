/**
 * Leave, as Claude Code asks whoever has started it: with `--permission-prompt-tool stdio` each use of a tool that its rules
 * do not allow becomes a `control_request`, and it waits for the answer on stdin, where messages are JSON lines then. Its
 * SDK speaks with it in this way; its help does not tell of it (tried with 2.1.330).
 */
import { type AgentDialogue, atMostAsked, isRecord, shown } from "../../agent-program.ts";
import type { PermissionRequest } from "../../coding-agent.ts";

/** Has it ask. */
export const ASKING_ARGS = ["--input-format", "stream-json", "--permission-prompt-tool", "stdio"];

/** What runs programs; asked about, instead of allowed. */
export const RUNNING_TOOLS = ["Bash", "Monitor"];

/** It asks about files elsewhere than in its checkout alone, and those nobody allows. */
const FILE_TOOLS = ["Edit", "MultiEdit", "Write", "NotebookEdit", "Read", "Glob", "Grep", "LS"];

const NO_LEAVE = "You have no leave for this. Go on without it, or say what you need it for.";
const MAX_DETAIL = 10_000;

type Json = Record<string, unknown>;
type Permit = (request: PermissionRequest) => Promise<"allow" | "deny">;

/** The prompt, as it takes it on a stdin that stays open. */
export function asMessage(prompt: string): string {
  return `${JSON.stringify({ type: "user", message: { role: "user", content: prompt } })}\n`;
}

/** Answers what it asks until its turn is over. */
export function leaveDialogue(permit: Permit): AgentDialogue {
  const ask = atMostAsked(permit);
  return {
    answer: (event) => (event.type === "control_request" ? answerTo(event, ask) : undefined),
    isLast: ({ type }) => type === "result",
  };
}

async function answerTo({ request_id: id, request }: Json, permit: Permit): Promise<string> {
  const asked = isRecord(request) ? request : {};
  if (asked.subtype !== "can_use_tool") {
    const error = `Robson does not answer "${shown(String(asked.subtype), 80)}"`;
    return control({ subtype: "error", request_id: id, error });
  }
  const tool = String(asked.tool_name);
  const input = isRecord(asked.input) ? asked.input : {};
  const verdict = FILE_TOOLS.includes(tool) ? "deny" : await permit({ tool, detail: detailOf(input) });
  const response =
    verdict === "allow"
      ? { behavior: "allow", updatedInput: input }
      : { behavior: "deny", message: NO_LEAVE };
  return control({ subtype: "success", request_id: id, response });
}

function control(response: Json): string {
  return `${JSON.stringify({ type: "control_response", response })}\n`;
}

/** All of it: a person must not be shown less than what is done. */
function detailOf(input: Json): string {
  const { command, url } = input;
  return shown(String(command ?? url ?? JSON.stringify(input)), MAX_DETAIL);
}
