/** One turn of Codex: its events become Robson's, and from them it is judged how the turn ended. */
import { agentUnauthorized, endedWithoutResult, isRecord, shown } from "../../agent-program.ts";
import type { AgentOutcome, AgentRequest, AgentResult, AgentUsage } from "../../coding-agent.ts";
import { insideCheckout } from "../../edited-files.ts";
import type { ProgramEnd } from "../../supervisor.ts";

type Json = Record<string, unknown>;

/** How many characters of a command are shown. */
const MAX_DETAIL = 200;

/** `read` takes its events in their order, `result` judges them once it has ended. */
export function codexTurn(request: AgentRequest, { model }: { model: string | undefined }) {
  let sessionId: string | undefined;
  let lastMessage: string | undefined;
  let usage: unknown;
  let end: { outcome: AgentOutcome; said: string } | undefined;
  let isRefused = false;
  let hasActed = false;

  const usageOf = (): AgentUsage => ({
    ...(model === undefined ? {} : { model }),
    ...codexUsage(usage, request.resume),
  });
  const readers: Record<string, (event: Json) => void> = {
    "thread.started": (event) => {
      sessionId = text(event.thread_id);
      if (sessionId) request.onEvent({ type: "session", id: sessionId, ...(model ? { model } : {}) });
    },
    "item.started": ({ item }) => isRecord(item) && reportTool(item, request),
    "item.completed": ({ item }) => {
      if (!isRecord(item)) return;
      if (item.type === "agent_message") {
        lastMessage = text(item.text) ?? "";
        request.onEvent({ type: "message", text: lastMessage });
      }
      isRefused ||= item.status === "declined";
      hasActed ||= hasChangedSomething(item);
      if (item.type === "file_change" && item.status === "completed") reportFiles(item, request);
    },
    "turn.completed": (event) => {
      usage = event.usage;
      request.onUsage?.(usageOf());
      end = { outcome: isRefused && !hasActed ? "refused" : "done", said: lastMessage ?? "" };
    },
    "turn.failed": ({ error }) => {
      const said = (isRecord(error) && text(error.message)) || "the turn failed";
      end = { outcome: judgeFailure(said), said };
    },
    error: ({ message }) => onError(text(message) ?? "", request),
  };

  return {
    read: (event: Json) => readers[text(event.type) ?? ""]?.(event),
    result(program: ProgramEnd): AgentResult {
      if (end === undefined && sessionId === undefined && SESSION_LOST.test(program.stderr)) {
        return { outcome: "session-lost", summary: shown(program.stderr), usage: {} };
      }
      if (end === undefined) throw endedWithoutResult("codex", program);
      return {
        outcome: end.outcome,
        summary: end.said,
        ...(sessionId === undefined ? {} : { sessionId }),
        usage: usageOf(),
      };
    },
  };
}

const SESSION_LOST = /no rollout found|thread\/resume|no (?:saved )?session found/i;
const UNAUTHORIZED =
  /status 40[13]\b|\b40[13] (?:Unauthorized|Forbidden)|Missing environment variable|Incorrect API key|not logged in|token (?:is|has) expired/i;
const NO_CREDIT = /quota exceeded|insufficient_quota|check your plan and billing/i;
const OVERLOADED =
  /status:? (?:429|5\d\d)\b|at capacity|overloaded|rate limit|usage limit|too many requests|stream disconnected|connection failed/i;

/** What to do without a good key. */
export const KEY_HINT =
  "Put a valid CODEX_API_KEY into Robson's environment; agents.codex.environment names what reaches the agent. Then run the task again";
const CREDIT_HINT = "Look at the plan and the billing of that account, then run the task again";

/** An error on the way: Codex says that it tries again. A refused key would be refused each time. */
function onError(said: string, request: AgentRequest): void {
  if (UNAUTHORIZED.test(said)) throw agentUnauthorized("codex", withoutRequest(said), KEY_HINT);
  if (!/^Reconnecting/i.test(said)) return;
  const isLimit = /429|rate limit/i.test(said);
  const isFull = /status:? 5\d\d|overloaded|capacity/i.test(said);
  const reason = isLimit
    ? "the rate limit of the model is reached"
    : isFull
      ? "the model is overloaded"
      : `the model cannot be reached (${shown(said, 120)})`;
  request.onEvent({ type: "waiting", reason });
}

function judgeFailure(said: string): AgentOutcome {
  if (UNAUTHORIZED.test(said)) throw agentUnauthorized("codex", withoutRequest(said), KEY_HINT);
  if (NO_CREDIT.test(said)) throw agentUnauthorized("codex", said, CREDIT_HINT);
  return OVERLOADED.test(said) ? "overloaded" : "gave-up";
}

/** Without the address and the number of the request, which help nobody and differ each time. */
function withoutRequest(said: string): string {
  return said.replace(/^Reconnecting\.*\s*\d+\/\d+\s*/, "").replace(/,? (?:url|request id): [^,)\s]+/g, "");
}

function reportTool(item: Json, request: AgentRequest): void {
  const detail =
    text(item.command) ?? text(item.query) ?? text(item.tool) ?? changedPaths(item, request).join(", ");
  const name = {
    command_execution: "shell",
    file_change: "edit",
    mcp_tool_call: "mcp",
    web_search: "search",
  }[text(item.type) ?? ""];
  if (name !== undefined) request.onEvent({ type: "tool", name, detail: shown(bare(detail), MAX_DETAIL) });
}

/** The command as the model gave it: Codex shows the shell around it, too. */
function bare(command: string): string {
  const [, quoted] = /^(?:\/usr)?\/bin\/(?:ba|z)?sh -l?c (['"])([\s\S]*)\1$/.exec(command)?.slice(1) ?? [];
  return quoted ?? command;
}

function reportFiles(item: Json, request: AgentRequest): void {
  for (const file of changedPaths(item, request)) request.onEvent({ type: "edited", file });
}

function changedPaths({ changes }: Json, { directory }: AgentRequest): string[] {
  const paths = Array.isArray(changes) ? changes.filter(isRecord).map(({ path }) => text(path)) : [];
  return paths.flatMap((path) => (path === undefined ? [] : (insideCheckout(path, directory) ?? [])));
}

function hasChangedSomething({ type, status }: Json): boolean {
  return status === "completed" && (type === "file_change" || type === "command_execution");
}

/** Codex counts the whole thread: of a resumed one, the turn's part is known only with what was used before. */
function codexUsage(usage: unknown, resume: AgentRequest["resume"]): AgentUsage {
  if (!isRecord(usage)) return {};
  const part = (name: string, before: number | undefined) => {
    const total = usage[name];
    if (typeof total !== "number") return undefined;
    if (resume === undefined) return total;
    return before === undefined ? undefined : Math.max(0, total - before);
  };
  const inputTokens = part("input_tokens", resume?.usage?.inputTokens);
  const outputTokens = part("output_tokens", resume?.usage?.outputTokens);
  return {
    ...(inputTokens === undefined ? {} : { inputTokens }),
    ...(outputTokens === undefined ? {} : { outputTokens }),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
