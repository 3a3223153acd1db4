/**
 * What happened in a turn, kept from the agent's updates as they come: events for whoever watches, and what the result
 * needs. Pieces of one message become one event; a tool is told of once, when it is known what it does.
 */
import { shown } from "../../agent-program.ts";
import type { AgentEvent, AgentUsage } from "../../coding-agent.ts";
import {
  parsePromptUsage,
  parseTool,
  parseUpdate,
  type SessionUpdate,
  type ToolFields,
} from "./session-update.ts";
import { createToolRecord } from "./tool-record.ts";

export interface SessionRecord {
  /** Takes the parameters of a `session/update`. Those of a session that is being replayed, or of another, pass by. */
  update(params: unknown): void;
  /** Takes the result of any request; the one of the prompt may tell what it cost. */
  answer(result: unknown): void;
  /** Takes a tool that the agent asks about; some agents tell of it nowhere else before it has ended. */
  tool(params: unknown): void;
  /** From now on the updates of this session count. */
  begin(sessionId: string): void;
  /** A permission was refused. Counts where the agent has done nothing else. */
  refused(what: string): void;
  /** Tells of what is only half told, and returns what there is for the result. */
  finish(): TurnRecord;
}

export interface TurnRecord {
  /** Once there is a session. */
  sessionId: string | undefined;
  /** The last message. */
  text: string;
  usage: AgentUsage;
  /** What was refused last, when nothing else was done: an agent that needed it not for all of its work is done. */
  refusal: string | undefined;
}

export interface SessionRecordOptions {
  directory: string;
  /** What the session that is gone on with has cost so far. */
  spentBefore: number;
  onEvent(event: AgentEvent): void;
  /** Called with what the turn has cost so far, whenever the agent tells it. */
  onCost(costUsd: number): void;
  /** Called with all that is known of what it has used so far. */
  onUsage?(usage: AgentUsage): void;
}

/** How much of one message is kept, in characters. */
const MAX_MESSAGE = 64 * 1024;

export function createSessionRecord(options: SessionRecordOptions): SessionRecord {
  const { onEvent } = options;
  const tools = createToolRecord(options.directory, onEvent);
  const usage: AgentUsage = {};
  let current: string | undefined;
  let open = "";
  let text = "";
  let costBefore = options.spentBefore;
  let refusal: string | undefined;
  let hasActed = false;

  const closeMessage = () => {
    const said = open.trim();
    open = "";
    if (said === "") return;
    text = said;
    onEvent({ type: "message", text: said });
  };
  const takeTool = (fields: ToolFields) => {
    if (tools.take(fields)) hasActed = true;
  };
  const take = (update: SessionUpdate) => {
    if (update.sessionUpdate === "agent_message_chunk") {
      open = (open + update.content.text).slice(0, MAX_MESSAGE);
      return;
    }
    if (update.sessionUpdate === "usage_update") return;
    closeMessage();
    if ("toolCallId" in update) takeTool(update);
    else if (update.sessionUpdate === "notice") onEvent(toEvent(update));
  };

  return {
    update: (params) => {
      const said = parseUpdate(params);
      if (said === undefined) return;
      const costUsd = said.update.sessionUpdate === "usage_update" ? toUsd(said.update.cost) : undefined;
      if (current === undefined) costBefore = costUsd ?? costBefore;
      if (said.sessionId !== current) return;
      take(said.update);
      if (costUsd === undefined) return;
      // Less than before: this agent counts anew with each process.
      const spent = costUsd < costBefore ? costUsd : costUsd - costBefore;
      if (spent === 0) return;
      usage.costUsd = spent;
      options.onUsage?.({ ...usage });
      options.onCost(spent);
    },
    tool: (params) => {
      const tool = parseTool(params);
      if (tool !== undefined) takeTool(tool);
    },
    answer: (result) => {
      const told = parsePromptUsage(result);
      Object.assign(usage, told);
      if (Object.keys(told).length > 0) options.onUsage?.({ ...usage });
    },
    begin: (sessionId) => {
      current = sessionId;
    },
    refused: (what) => {
      refusal = what;
    },
    finish: () => {
      closeMessage();
      tools.finish();
      return { sessionId: current, text, usage, refusal: hasActed ? undefined : refusal };
    },
  };
}

/** What goes wrong for a while is told as such; agents have no sign of their own for it. */
function toEvent({ title, description }: Extract<SessionUpdate, { sessionUpdate: "notice" }>): AgentEvent {
  const text = shown(description ? `${title}: ${description}` : title);
  const isWaiting = /\bretry|reconnect|overload|rate limit/i.test(title);
  return isWaiting ? { type: "waiting", reason: text } : { type: "message", text };
}

function toUsd(cost: { amount: number; currency: string } | null | undefined): number | undefined {
  return cost?.currency === "USD" ? cost.amount : undefined;
}
