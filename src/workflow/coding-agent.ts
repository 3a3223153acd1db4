/**
 * The contract of a coding agent: the program that edits the files. It works in a directory, with an
 * environment that holds no credentials; commit, push and pull request are Robson's.
 */
export type AgentEvent =
  | { type: "started" }
  | { type: "progress"; text: string }
  | { type: "edited"; file: string };

export interface AgentRequest {
  prompt: string;
  /** The checkout that it may edit. */
  directory: string;
  /** All that it sees of the environment. `HOME` is a scratch folder outside the checkout. */
  environment: Record<string, string>;
  /** When this is aborted the agent and everything that it started are ended before `run` settles. */
  signal: AbortSignal;
  onEvent(event: AgentEvent): void;
}

export interface AgentResult {
  /** What the agent itself says: neither its exit code nor a proof. The caller looks at the checkout. */
  isSuccess: boolean;
  /** What it did, or why it could not; its own words. */
  summary: string;
}

export interface CodingAgent {
  name: string;
  /** Asked before anything is cloned: rejects with `AGENT_FAILED` when the agent lacks what its operator must give it. */
  check?(options: { signal: AbortSignal }): Promise<void>;
  /** Rejects with `AGENT_FAILED` when the program could not run to its end, with the signal's reason when aborted. */
  run(request: AgentRequest): Promise<AgentResult>;
}
