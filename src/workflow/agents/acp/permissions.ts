/**
 * The answer to an agent that asks whether it may. Reading and editing inside the checkout and in its own HOME is
 * allowed, files elsewhere are refused; what is neither (commands, the network) is for `permit` to say, or allowed where
 * nobody is there to be asked and it names no path elsewhere. This keeps an honest agent to its place; the sandbox keeps any agent there.
 */
import { readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import type {
  PermissionOption,
  RequestPermissionRequest,
  RequestPermissionResponse,
} from "@agentclientprotocol/sdk";
import { isRecord, shown } from "../../agent-program.ts";
import type { PermissionRequest } from "../../coding-agent.ts";

export interface PermissionRules {
  /** The checkout. */
  directory: string;
  /** The agent's own HOME. */
  home: string | undefined;
  permit?: ((request: PermissionRequest) => Promise<"allow" | "deny">) | undefined;
}

export interface PermissionAnswer {
  verdict: "allow" | "deny";
  asked: PermissionRequest;
}

/** Kinds of tools that do nothing but touch the files that they name. */
const FILE_KINDS = ["read", "edit", "delete", "move", "search"];
/** How agents call a file's path in a tool's own input. */
const PATH_KEYS = ["path", "file_path", "filePath", "filepath", "notebook_path", "abs_path", "target_file"];
/** Of what is asked: a person must not be shown less than what is done. */
const MAX_DETAIL = 10_000;
const MAX_NAME = 100;
/** As many as the kernel follows. */
const MAX_LINKS = 40;

export async function decidePermission(
  { toolCall }: RequestPermissionRequest,
  { directory, home, permit }: PermissionRules,
): Promise<PermissionAnswer> {
  const asked = {
    tool: shown(toolCall.name ?? toolCall.kind ?? "other", MAX_NAME),
    detail: detailOf(toolCall),
  };
  const paths = pathsOf(toolCall);
  const places = [directory, ...(home === undefined ? [] : [home])];
  const isAtHome = paths.every((path) => places.some((place) => isInside(resolve(directory, path), place)));
  const isOnlyFiles = FILE_KINDS.includes(toolCall.kind ?? "") && paths.length > 0;
  if (isOnlyFiles || permit === undefined) return { verdict: isAtHome ? "allow" : "deny", asked };
  return { verdict: await permit(asked), asked };
}

/** The verdict in the agent's own words. What is allowed is allowed this once: "always" is not ours to give away. */
export function toResponse(
  verdict: PermissionAnswer["verdict"],
  options: PermissionOption[],
): RequestPermissionResponse {
  const kinds = verdict === "allow" ? ["allow_once"] : ["reject_once", "reject_always"];
  for (const kind of kinds) {
    const option = options.find((each) => each.kind === kind);
    if (option !== undefined) return { outcome: { outcome: "selected", optionId: option.optionId } };
  }
  return { outcome: { outcome: "cancelled" } };
}

/** Whether `path` lies in `folder`, whatever links stand in its way. */
function isInside(path: string, folder: string): boolean {
  const way = relative(realPath(folder), realPath(path));
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** With all links followed, also one that leads to what does not exist yet: writing would make it there. */
function realPath(path: string, links = 0): string {
  try {
    return realpathSync(path);
  } catch {
    const target = links < MAX_LINKS ? linkTarget(path) : undefined;
    if (target !== undefined) return realPath(target, links + 1);
    const parent = dirname(path);
    return parent === path ? path : join(realPath(parent, links), basename(path));
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return undefined; // It is no link, or not there.
  }
}

function pathsOf({ locations, content, rawInput }: RequestPermissionRequest["toolCall"]): string[] {
  const paths = (locations ?? []).map(({ path }) => path);
  for (const part of content ?? []) if (part.type === "diff") paths.push(part.path);
  if (typeof rawInput === "object" && rawInput !== null) {
    for (const [key, value] of Object.entries(rawInput)) {
      if (PATH_KEYS.includes(key) && typeof value === "string") paths.push(value);
    }
  }
  return paths;
}

/** A command rather than its title, which the agent may have cut. */
function detailOf({ title, rawInput }: RequestPermissionRequest["toolCall"]): string {
  const command = isRecord(rawInput) && typeof rawInput.command === "string" ? rawInput.command : undefined;
  return shown(command ?? title ?? JSON.stringify(rawInput) ?? "", MAX_DETAIL);
}
