/**
 * What each gate does when it finds something, and what a verdict is. A gate never changes anything: it looks at what
 * is about to leave the machine and says allow, ask a person, or refuse.
 */

/** In the order of their weight. */
export const GATE_DECISIONS = ["allow", "ask", "refuse"] as const;

export type GateDecision = (typeof GATE_DECISIONS)[number];

export interface GatePolicies {
  /** A secret in the change, in the commit's message or in the text of the pull request. */
  secrets: GateDecision;
  /** A file that decides what machines run or who must review: CI, CODEOWNERS, hooks, `.robson.toml`. */
  protectedPaths: GateDecision;
  /** A file that coding agents take orders from: CLAUDE.md, AGENTS.md, .claude/, .mcp.json. */
  agentFiles: GateDecision;
  /** A lock file of a package manager. */
  lockFiles: GateDecision;
  /** More files, lines or bytes than the limits, or a file larger than they allow. */
  diffSize: GateDecision;
  /** A file that is no text. */
  binaryFiles: GateDecision;
  /** A file that has become executable. */
  executables: GateDecision;
  /** A symbolic link that leads out of the repository. */
  links: GateDecision;
  /** A submodule, a repository within the repository, or a path that git keeps for itself. */
  submodules: GateDecision;
  /** Lines that turn the reading direction, so that they do not read as they run, or that carry signs nothing shows. */
  hiddenSigns: GateDecision;
  /** A path with signs that cannot be seen, or that is no text. */
  oddNames: GateDecision;
}

export type GateName = keyof GatePolicies;

export const DEFAULT_GATE_POLICIES: GatePolicies = {
  secrets: "refuse",
  protectedPaths: "ask",
  agentFiles: "ask",
  lockFiles: "allow",
  diffSize: "ask",
  binaryFiles: "ask",
  executables: "ask",
  links: "refuse",
  submodules: "refuse",
  hiddenSigns: "ask",
  oddNames: "ask",
};

/** What a gate has found, and what is to be done about it. Plain data: a run stores it. */
export interface Verdict {
  gate: GateName;
  decision: GateDecision;
  /** In words for the thread, without the secret that it may be about. */
  reason: string;
  /** What to do about it, where there is something. */
  hint?: string;
}

/** Each gate as robson.toml names it. */
export const GATE_KEYS: Record<GateName, string> = {
  secrets: "secrets",
  protectedPaths: "protected_paths",
  agentFiles: "agent_files",
  lockFiles: "lock_files",
  diffSize: "diff_size",
  binaryFiles: "binary_files",
  executables: "executables",
  links: "links",
  submodules: "submodules",
  hiddenSigns: "hidden_signs",
  oddNames: "odd_names",
};

/** The heaviest of the decisions; without any verdict the change may go. */
export function combineVerdicts(verdicts: readonly Verdict[]): GateDecision {
  const weights = verdicts.map(({ decision }) => GATE_DECISIONS.indexOf(decision));
  return GATE_DECISIONS[Math.max(0, ...weights)] ?? "refuse";
}
