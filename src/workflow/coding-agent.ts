/**
 * The contract of a coding agent: the program that edits the files. It works in a directory, with an
 * environment that holds no credentials of Robson's; commit, push and pull request are Robson's. An adapter only
 * knows its program's language: it starts it through `launch`, which holds the sandbox and all limits.
 */
import type { Launch } from "./supervisor.ts";

/** What an agent reports while it works. Text is the agent's own: shown and kept, never obeyed. */
export type AgentEvent =
  /** The agent's own name for this session: what `resume` takes. */
  | { type: "session"; id: string; model?: string }
  | { type: "message"; text: string }
  | { type: "tool"; name: string; detail: string }
  | { type: "edited"; file: string }
  /** The model is overloaded or the rate limit is reached; the agent goes on by itself. */
  | { type: "waiting"; reason: string; retryInMs?: number };

/** What it cost. What the agent does not say is absent: unknown is not zero. */
export interface AgentUsage {
  model?: string;
  inputTokens?: number;
  outputTokens?: number;
  costUsd?: number;
  turns?: number;
}

export interface PermissionRequest {
  tool: string;
  detail: string;
}

export interface AgentRequest {
  prompt: string;
  /** The checkout that it may edit. */
  directory: string;
  /** All that it sees of the environment. `HOME` is a scratch folder outside the checkout. */
  environment: Record<string, string>;
  /**
   * The session to go on with, as a former `session` event named it, and what was used in it so far: an agent that
   * counts whole sessions can say what this turn used only when it is told.
   */
  resume?: { sessionId: string; usage?: AgentUsage };
  /** The most that this turn may cost, in US dollars. Held by agents that say `holdsBudget`. */
  maxCostUsd?: number;
  /** Starts the agent's program, in the sandbox and under the limits. Whatever it starts has ended when `run` settles. */
  launch: Launch;
  /** Answers what the agent may not do by itself. Default: everything inside the checkout is allowed. */
  permit?(request: PermissionRequest): Promise<"allow" | "deny">;
  /** When this is aborted the agent and everything that it started are ended before `run` settles. */
  signal: AbortSignal;
  onEvent(event: AgentEvent): void;
  /** What the turn has used so far, as soon as the agent tells it: all that is known of a turn that is cut off. */
  onUsage?(usage: AgentUsage): void;
  /** Each line that the agent wrote, as it came: the transcript. */
  onTranscript(line: string): void;
}

/** How a turn ended. `done` is what the agent says: the caller looks at the checkout. */
export type AgentOutcome =
  | "done"
  /** It says that it could not. */
  | "gave-up"
  /** `maxCostUsd` is used up. */
  | "budget"
  /** A permission that it needed was refused. */
  | "refused"
  /** The session to resume is gone: start a fresh one. */
  | "session-lost"
  /** The model's rate limit or overload outlasted the agent's own patience. */
  | "overloaded";

export interface AgentResult {
  outcome: AgentOutcome;
  /** What it did, or why it could not; its own words. */
  summary: string;
  sessionId?: string;
  usage: AgentUsage;
}

export interface CodingAgent {
  name: string;
  /** Whether it stops by itself at `maxCostUsd`. Default: no, only the limits on time hold it. */
  holdsBudget?: boolean;
  /** `false`: it never calls `permit`. Default: it may. */
  asksLeave?: boolean;
  /** Hosts that it must reach, as that of its model's provider: open to it in its sandbox, not to the checks. */
  domains?: readonly string[];
  /** Files and folders that it is made of, for a sandbox to open read-only. Default: what the sandbox shows anyway. */
  readable?: readonly string[];
  /**
   * Asked before anything is cloned: rejects with `AGENT_FAILED` when the agent lacks what its operator must give it,
   * with `AGENT_UNAUTHORIZED` when that is a key.
   */
  check?(options: { signal: AbortSignal }): Promise<void>;
  /**
   * One turn. Rejects with `AGENT_FAILED` when the program could not run to its end, with `AGENT_UNAUTHORIZED` when the
   * model's provider refuses its key, with the signal's reason when aborted. After a crash the checkout holds what the
   * turn has edited so far, and `resume` goes on with the session as long as its home is there.
   */
  run(request: AgentRequest): Promise<AgentResult>;
}
