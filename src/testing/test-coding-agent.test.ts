/** That the checks of a coding agent find what they are for: each broken agent here breaks one promise. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RobsonError } from "../core/errors.ts";
import type { AgentRequest, AgentResult, CodingAgent } from "../workflow/coding-agent.ts";
import { type AgentScene, codingAgentChecks } from "./test-coding-agent.ts";

/** An agent that plays `edits` and `hangs` and keeps its promises, but for what `change` breaks. */
function anAgent(scene: AgentScene, change: Partial<Steps> = {}): CodingAgent {
  const steps = { ...STEPS, ...change };
  return {
    name: "honest",
    async run(request) {
      request.signal.throwIfAborted();
      request.onEvent({ type: "session", id: "s1" });
      request.onTranscript("session s1");
      const program = await request.launch({
        command: "sh",
        args: ["-c", scene === "hangs" && !request.resume ? "trap '' INT; sleep 600" : steps.script],
      });
      request.onEvent({ type: "tool", name: "sh", detail: "" });
      if (request.resume) writeFileSync(join(request.directory, "second.txt"), "");
      const end = await program.ended;
      request.signal.throwIfAborted();
      if (end.endedBy !== "itself") {
        throw new RobsonError("AGENT_FAILED", steps.why(end.why ?? ""), { hint: "Try again" });
      }
      return steps.result(request);
    },
  };
}

interface Steps {
  script: string;
  why(reason: string): string;
  result(request: AgentRequest): AgentResult;
}

const STEPS: Steps = {
  script: "echo > edited.txt",
  why: (reason) => reason,
  result: () => ({ outcome: "done", summary: "Done.", sessionId: "s1", usage: { costUsd: 1 } }),
};

const WITHOUT: AgentScene[] = [
  ...(["goes on", "spends", "is refused", "gives up", "waits", "is overloaded"] as const),
  ...(["is unauthorized", "floods", "leaves a program", "dies"] as const),
];

/** The names of those checks, by a part of their names, that the agent does not pass. */
async function failing(part: RegExp, createAgent: (scene: AgentScene) => CodingAgent): Promise<string[]> {
  const checks = codingAgentChecks({ createAgent, without: WITHOUT }).filter(({ name }) => part.test(name));
  const failed: string[] = [];
  for (const { name, run } of checks) await run().catch(() => failed.push(name));
  return failed;
}

test("an agent that keeps its promises passes", async () => {
  expect(await failing(/./, (scene) => anAgent(scene))).toEqual([]);
});

test.each<[string, Partial<Steps>, RegExp]>([
  ["says that it is done and edits nothing", { script: "true" }, /ends as done/],
  [
    "calls an unknown cost zero",
    { result: () => ({ ...STEPS.result({} as AgentRequest), usage: { costUsd: 0 } }) },
    /absent, never zero/,
  ],
  [
    "gives up where it could do it",
    { result: () => ({ ...STEPS.result({} as AgentRequest), outcome: "gave-up" }) },
    /ends as done/,
  ],
  ["does not name the limit that ended it", { why: () => "it ended" }, /takes too long/],
  [
    "names another session than it began",
    { result: () => ({ ...STEPS.result({} as AgentRequest), sessionId: "s2" }) },
    /its session/,
  ],
])("an agent that %s does not", async (_what, change, check) => {
  expect(await failing(check, (scene) => anAgent(scene, change))).toHaveLength(1);
});

test("an agent that goes on after its turn was aborted does not", async () => {
  const deaf = (scene: AgentScene): CodingAgent => {
    const agent = anAgent(scene);
    const { signal } = new AbortController();
    return { ...agent, run: (request) => agent.run({ ...request, signal }) };
  };

  expect(await failing(/aborted turn/, deaf)).toHaveLength(1);
});
