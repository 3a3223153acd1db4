/**
 * What every coding agent must do, ours or a stranger's, as named checks that any test runner can run. The agent under
 * test plays scenes, by a program that stands for the real one or by the real one with a model that is played; a check
 * makes a folder for each anew, and leaves nothing behind.
 */
import type { CodingAgent } from "../workflow/coding-agent.ts";
import { type AgentKit, agentCheck } from "./agent-checks/bench.ts";
import { endChecks } from "./agent-checks/ends.ts";
import { turnChecks } from "./agent-checks/turns.ts";

/** What the agent is to do, whatever its prompt says. Files are named from the checkout on. */
export type AgentScene =
  /** Writes `edited.txt`, says so, and ends well. */
  | "edits"
  /** Writes `first.txt` and ends well; resumed, it writes `second.txt` and ends well. */
  | "goes on"
  /** Spends more than any budget of the checks; told of one, it stops. */
  | "spends"
  /** Wants what it may not do, is refused, and can do nothing else. */
  | "is refused"
  /** Says that it cannot do it. */
  | "gives up"
  /** Finds its model overloaded once, then writes `edited.txt` and ends well. */
  | "waits"
  /** Finds its model overloaded until it gives up waiting. */
  | "is overloaded"
  /** Its provider refuses its key, each time it asks. */
  | "is unauthorized"
  /**
   * Writes `first.txt`, tells of a tool that it uses, then neither says nor does anything, and obeys no SIGINT; resumed
   * it writes `second.txt` and ends well.
   */
  | "hangs"
  /** Prints without end. */
  | "floods"
  /** Starts a program in a session of its own that writes `left.txt` first and never ends, then ends well. */
  | "leaves a program"
  /** Ends after its first words, without a result. */
  | "dies";

/** Where a check has the agent work. */
export interface AgentPlace {
  /** The folder of it all. */
  folder: string;
  /** The checkout, empty. */
  directory: string;
  /** `HOME` of its programs. */
  home: string;
}

export interface CodingAgentSuite {
  /** An agent that plays this scene; asked again for a second turn of it. */
  createAgent(scene: AgentScene, place: AgentPlace): CodingAgent | Promise<CodingAgent>;
  /** One whose program is not installed. */
  createMissing?(): CodingAgent;
  /** The checks of scenes that it cannot play are left out. */
  without?: AgentScene[];
  /** How long the agent may take for any one thing. Default: 20 s. */
  maxWaitMs?: number;
}

/** One promise of the contract; `run` rejects when it is broken. */
export interface CodingAgentCheck {
  name: string;
  run(): Promise<void>;
}

/** The checks for one agent: `for (const check of codingAgentChecks(…)) test(check.name, check.run)`. */
export function codingAgentChecks(suite: CodingAgentSuite): CodingAgentCheck[] {
  const { createAgent, createMissing, without = [], maxWaitMs = 20_000 } = suite;
  const kit: AgentKit = { createAgent, maxWaitMs };
  const checks = [...turnChecks(kit), ...endChecks(kit)].filter(({ scene }) => !without.includes(scene));
  return createMissing ? [...checks, missingCheck(createMissing, maxWaitMs)] : checks;
}

/** Registers the checks with a test runner: `testCodingAgent(test, …)`. */
export function testCodingAgent(
  test: (name: string, run: () => Promise<void>) => unknown,
  suite: CodingAgentSuite,
): void {
  for (const { name, run } of codingAgentChecks(suite)) test(name, run);
}

function missingCheck(createMissing: () => CodingAgent, maxWaitMs: number): CodingAgentCheck {
  return agentCheck(
    { createAgent: createMissing, maxWaitMs },
    {
      name: "an agent whose program is not installed fails with what to do",
      scene: "edits",
      on: async (bench) => bench.failsWith(await bench.turn(), { code: "AGENT_FAILED" }),
    },
  );
}
