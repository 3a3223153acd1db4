/** One turn of Claude Code: its events become Robson's, and from them it is judged how the turn ended. */
import { agentFailed, agentUnauthorized, endedWithoutResult, isRecord, shown } from "../../agent-program.ts";
import type { AgentOutcome, AgentRequest, AgentResult } from "../../coding-agent.ts";
import { insideCheckout } from "../../edited-files.ts";
import type { ProgramEnd } from "../../supervisor.ts";
import { claudeUsage } from "./usage.ts";

type Json = Record<string, unknown>;

/** How many characters of a tool's arguments are shown. */
const MAX_DETAIL = 200;

const EDITING_TOOLS = ["Edit", "MultiEdit", "Write", "NotebookEdit"];
/** What a turn without leave to do anything can still do. */
const READING_TOOLS = ["Read", "Glob", "Grep", "LS", "ToolSearch", "TodoWrite", "TaskOutput", "BashOutput"];

/** `read` takes its events in their order, `result` judges them once it has ended. */
export function claudeTurn(request: AgentRequest) {
  const pending = new Map<string, Tool>();
  let sessionId: string | undefined;
  let model: string | undefined;
  let hasActed = false;
  /** The kind of the last error of the provider, as Claude Code names it. */
  let apiError: string | undefined;
  let last: Json | undefined;

  const usageOf = (result: Json) => claudeUsage(result, { model, isResumed: request.resume !== undefined });
  const readers: Record<string, (event: Json) => void> = {
    system(event) {
      if (event.subtype === "init") {
        sessionId = text(event.session_id);
        model = text(event.model);
        if (sessionId) request.onEvent({ type: "session", id: sessionId, ...(model ? { model } : {}) });
      }
      if (event.subtype === "api_retry") onRetry(event, request);
    },
    assistant(event) {
      apiError = text(event.error) ?? apiError;
      for (const block of blocks(event)) {
        if (block.type === "text" && event.parent_tool_use_id == null && !event.error) {
          request.onEvent({ type: "message", text: text(block.text) ?? "" });
        }
        if (block.type !== "tool_use") continue;
        const tool = readTool(block, request.directory);
        pending.set(text(block.id) ?? "", tool);
        request.onEvent({ type: "tool", name: tool.name, detail: tool.detail });
      }
    },
    user(event) {
      for (const block of blocks(event)) {
        const tool = block.type === "tool_result" && pending.get(text(block.tool_use_id) ?? "");
        if (!tool || block.is_error === true) continue;
        if (!READING_TOOLS.includes(tool.name)) hasActed = true;
        if (tool.file !== undefined) request.onEvent({ type: "edited", file: tool.file });
      }
    },
    result(event) {
      last = event;
      request.onUsage?.(usageOf(event));
    },
  };

  return {
    read: (event: Json) => readers[text(event.type) ?? ""]?.(event),
    result(end: ProgramEnd): AgentResult {
      if (last === undefined) throw endedWithoutResult("claude-code", end);
      const outcome = judge(last, { apiError, hasActed });
      const id = sessionId ?? text(last.session_id);
      return {
        outcome,
        summary: summaryOf(last),
        ...(id !== undefined && outcome !== "session-lost" ? { sessionId: id } : {}),
        usage: usageOf(last),
      };
    },
  };
}

interface Tool {
  name: string;
  detail: string;
  /** The file that it edits, from the checkout on. */
  file?: string;
}

/** Claude Code tries again by itself, ten times over minutes; a refused key would be refused ten times. */
function onRetry(event: Json, request: AgentRequest): void {
  const { error_status: status, error, retry_delay_ms: delay } = event;
  if (status === 401 || status === 403 || error === "authentication_failed") {
    throw agentUnauthorized("claude-code", `${text(error) ?? "error"} (status ${String(status)})`, KEY_HINT);
  }
  const kind = error === "rate_limit" ? "the rate limit of the model is reached" : "the model is overloaded";
  const known = error === "rate_limit" || error === "overloaded" || status === 529;
  request.onEvent({
    type: "waiting",
    reason: known ? kind : `the model cannot be reached (${shown(String(error ?? status ?? "unknown"), 80)})`,
    ...(typeof delay === "number" ? { retryInMs: delay } : {}),
  });
}

/** What to do without a good key. */
export const KEY_HINT =
  "Put a valid ANTHROPIC_API_KEY, or a CLAUDE_CODE_OAUTH_TOKEN made by `claude setup-token`, into Robson's environment; agents.claude_code.environment names what reaches the agent. Then run the task again";
const CREDIT_HINT = "Look at the billing of that account, then run the task again";

const UNAUTHORIZED = ["authentication_failed", "oauth_org_not_allowed"];
const OVERLOADED = ["rate_limit", "overloaded", "server_error"];

function judge(
  result: Json,
  { apiError, hasActed }: { apiError: string | undefined; hasActed: boolean },
): AgentOutcome {
  const { subtype, api_error_status: status, permission_denials: denials } = result;
  if (subtype === "error_max_budget_usd") return "budget";
  const said = summaryOf(result);
  if (/No conversation found with session ID/i.test(said)) return "session-lost";
  if (result.is_error !== true && subtype === "success") {
    return Array.isArray(denials) && denials.length > 0 && !hasActed ? "refused" : "done";
  }
  if (status === 401 || status === 403 || UNAUTHORIZED.includes(apiError ?? "")) {
    throw agentUnauthorized("claude-code", said, KEY_HINT);
  }
  if (apiError === "billing_error") throw agentUnauthorized("claude-code", said, CREDIT_HINT);
  if (isOverload(status) || OVERLOADED.includes(apiError ?? "")) return "overloaded";
  if (subtype === "error_during_execution") throw agentFailed("claude-code", shown(said));
  return "gave-up";
}

function isOverload(status: unknown): boolean {
  return typeof status === "number" && (status === 429 || status >= 500);
}

function summaryOf({ result, errors, subtype }: Json): string {
  if (typeof result === "string" && result.trim() !== "") return result;
  if (Array.isArray(errors) && errors.length > 0) return errors.map(String).join("; ");
  return text(subtype) ?? "";
}

/** The parts of a message; a message may also be one text. */
function blocks({ message }: Json): Json[] {
  if (!isRecord(message)) return [];
  return Array.isArray(message.content) ? message.content.filter(isRecord) : [];
}

function readTool({ name, input }: Json, directory: string): Tool {
  const toolName = text(name) ?? "tool";
  const values = isRecord(input) ? input : {};
  const path = text(values.file_path) ?? text(values.notebook_path);
  const file = path === undefined ? undefined : insideCheckout(path, directory);
  const about =
    file ??
    path ??
    text(values.command) ??
    text(values.pattern) ??
    text(values.description) ??
    text(values.url) ??
    "";
  return {
    name: toolName,
    detail: shown(about, MAX_DETAIL),
    ...(file !== undefined && EDITING_TOOLS.includes(toolName) ? { file } : {}),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
