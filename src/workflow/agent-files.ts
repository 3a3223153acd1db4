/**
 * The files that coding agents take orders from. They are the repository's word only as they stand at the base: before
 * an agent starts they are put back to that, and a change of them waits for a person (the gate `agent_files`).
 */
import type { Dirent } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { WorkerError } from "../core/errors.ts";
import { matchesPath } from "./gates/path-pattern.ts";
import type { InRobsonsRepository } from "./gates/staged-change.ts";
import { git } from "./git.ts";
import { restoreFiles } from "./restore-files.ts";

/** As patterns of path-pattern.ts: those without a slash hold at any depth, as agents look for them. */
const AGENT_FILES: readonly string[] = [
  "CLAUDE.md",
  "CLAUDE.local.md",
  ".claude",
  ".claude.json",
  "AGENTS.md",
  "AGENTS.override.md",
  "AGENT.md",
  ".agents",
  ".codex",
  "GEMINI.md",
  ".gemini",
  ".geminiignore",
  "QWEN.md",
  ".qwen",
  ".mcp.json",
  "mcp.json",
  ".opencode",
  "opencode.json",
  "opencode.jsonc",
  ".cursor",
  ".cursorrules",
  ".windsurf",
  ".windsurfrules",
  ".clinerules",
  ".roo",
  ".roomodes",
  ".aider.conf.yml",
  ".continue",
  ".junie",
  ".kiro",
  ".amazonq",
  ".goosehints",
  "**/.github/copilot-instructions.md",
  "**/.github/instructions",
  "**/.github/agents",
  "**/.github/prompts",
];

export function isAgentFile(path: string): boolean {
  return matchesPath(AGENT_FILES, path);
}

export interface RestoredFiles {
  /** Put back to what they are at the base. */
  restored: string[];
  /** Not there at the base: removed. */
  removed: string[];
}

/** A checkout with more files and folders is not searched to its end, and so not given to an agent. */
const MAX_ENTRIES = 1_000_000;

/**
 * Puts the agents' files in the checkout back to what the base commit has. For before each start of an agent, while
 * nothing runs in the checkout. Safe to repeat: a crash leaves some of them restored. What a former turn changed in
 * them is lost here; whoever wants to keep it has staged the tree before.
 */
export async function restoreAgentFiles(
  { checkout, baseSha, own }: { checkout: string; baseSha: string; own: string },
  inRepository: InRobsonsRepository,
): Promise<RestoredFiles> {
  const listed = (await git(["ls-tree", "-r", "-z", "--full-tree", baseSha], inRepository)).split("\0");
  const pathsOf = (isWanted: (mode: string) => boolean) =>
    listed
      .slice(0, -1)
      .flatMap((entry) => (isWanted(entry.slice(0, 6)) ? [entry.slice(entry.indexOf("\t") + 1)] : []));
  const atBase = pathsOf((mode) => mode !== SUBMODULE).filter(isAgentFile);
  // What a submodule holds is of its own commit, and a change of it is never committed.
  const submodules = new Set(pathsOf((mode) => mode === SUBMODULE));
  const known = new Set(atBase);
  const there = await agentEntries(checkout, { submodules, signal: inRepository.signal });
  const removed = there.filter((path) => !known.has(path));
  for (const path of removed) await rm(join(checkout, path), { force: true });
  return { restored: await restoreFiles({ checkout, own, from: baseSha }, atBase, inRepository), removed };
}

const SUBMODULE = "160000";

/** Paths of all files, links and the like that an agent would read; links are never followed. */
async function agentEntries(
  checkout: string,
  { submodules, signal }: { submodules: Set<string>; signal: AbortSignal },
): Promise<string[]> {
  const found: string[] = [];
  const folders = [""];
  let seen = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    for (const entry of await entriesOf(join(checkout, folder))) {
      seen += 1;
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (path === ".git" || submodules.has(path)) continue;
      if (entry.isDirectory()) folders.push(path);
      else if (isAgentFile(path)) found.push(path);
    }
    if (seen > MAX_ENTRIES) throw tooManyEntries();
  }
  return found;
}

/** None of a folder that Robson may not read: an agent does not start with what is in there either. */
async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (["EACCES", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}

function tooManyEntries(): WorkerError {
  return new WorkerError(
    `Cannot give the checkout to an agent: it has more than MAX_ENTRIES (${MAX_ENTRIES}) files and folders`,
    {
      code: "REPOSITORY_INVALID",
      retry: "never",
      hint: "Start with a fresh checkout; what a former turn left there is in the way",
    },
  );
}
