/** The tools that an agent uses in a turn: each is told of once, when it is known what it does, and its edits when done. */
import { shown } from "../../agent-program.ts";
import type { AgentEvent } from "../../coding-agent.ts";
import { insideCheckout } from "../../edited-files.ts";
import type { ToolFields } from "./session-update.ts";

export interface ToolRecord {
  /** Takes what is told of a tool; says whether it has done something by that, not only looked. */
  take(fields: ToolFields): boolean;
  /** Tells of those that have not ended. */
  finish(): void;
}

interface Tool extends Partial<Omit<ToolFields, "toolCallId">> {
  isTold: boolean;
}

/** How many tool calls are remembered until they end; one more is told of at once. */
const MAX_OPEN_TOOLS = 1000;
const MAX_DETAIL = 500;
const MAX_NAME = 100;
/** What a turn without leave to do anything can still do. */
const LOOKING_KINDS = ["read", "search", "think", "fetch", "switch_mode"];
/** Kinds of tools that change the files that they name. */
const EDITING_KINDS = ["edit", "delete", "move"];

export function createToolRecord(directory: string, onEvent: (event: AgentEvent) => void): ToolRecord {
  const tools = new Map<string, Tool>();
  const edited = new Set<string>();

  const tell = (tool: Tool) => {
    if (tool.isTold) return;
    tool.isTold = true;
    const name = shown(tool.name ?? tool.kind ?? "other", MAX_NAME);
    onEvent({ type: "tool", name, detail: detailOf(tool, directory) });
  };
  const tellEdits = (tool: Tool) => {
    for (const file of editedFiles(tool, directory)) {
      if (edited.has(file)) continue;
      edited.add(file);
      onEvent({ type: "edited", file });
    }
  };
  return {
    take: ({ toolCallId, ...fields }) => {
      const tool = merge(tools.get(toolCallId) ?? { isTold: false }, fields);
      const hasEnded = tool.status === "completed" || tool.status === "failed";
      if (hasEnded || isKnown(tool) || tools.size >= MAX_OPEN_TOOLS) tell(tool);
      if (hasEnded) tools.delete(toolCallId);
      else if (tools.size < MAX_OPEN_TOOLS) tools.set(toolCallId, tool);
      if (tool.status !== "completed") return false;
      tellEdits(tool);
      return !LOOKING_KINDS.includes(tool.kind ?? "");
    },
    finish: () => {
      for (const tool of tools.values()) tell(tool);
      tools.clear();
    },
  };
}

/** What a later update leaves out stays as it was. */
function merge(tool: Tool, fields: Omit<ToolFields, "toolCallId">): Tool {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return { ...tool, ...Object.fromEntries(told) };
}

/** Agents announce a call before its arguments are there ("Terminal"), and name it by them later. */
function isKnown(tool: Tool): boolean {
  const { kind, title, rawInput, locations } = tool;
  if (kind === "execute") return commandOf(tool) !== undefined || /\s/.test(title ?? "");
  const hasInput = typeof rawInput === "object" && rawInput !== null && Object.keys(rawInput).length > 0;
  return hasInput || (locations?.length ?? 0) > 0;
}

function commandOf({ rawInput }: Tool): string | undefined {
  const isThere = typeof rawInput === "object" && rawInput !== null && "command" in rawInput;
  return isThere && typeof rawInput.command === "string" ? rawInput.command : undefined;
}

/** The title, which may be no more than the tool's name, with what it is done to. */
function detailOf(tool: Tool, directory: string): string {
  const { title } = tool;
  const path = tool.locations?.[0]?.path;
  const done = commandOf(tool) ?? (path && (insideCheckout(path, directory) ?? path));
  const isSaid = title && (!done || title.includes(done));
  return shown(isSaid ? title : [title, done].filter(Boolean).join(": "), MAX_DETAIL);
}

function editedFiles({ kind, locations, content }: Tool, directory: string): string[] {
  const paths = (content ?? []).flatMap(({ type, path }) =>
    type === "diff" && path !== undefined ? [path] : [],
  );
  if (EDITING_KINDS.includes(kind ?? "")) paths.push(...(locations ?? []).map(({ path }) => path));
  return paths.map((path) => insideCheckout(path, directory)).filter((name) => name !== undefined);
}
