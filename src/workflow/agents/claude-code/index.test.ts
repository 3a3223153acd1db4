import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentBench, agentCheck } from "../../../testing/agent-checks/bench.ts";
import { setScene, writeCommand } from "../../../testing/recorded-program.fixture.ts";
import { type AgentPlace, type AgentScene, testCodingAgent } from "../../../testing/test-coding-agent.ts";
import { type ClaudeCodeOptions, claudeCodeAgent } from "./index.ts";
import { claudeUsage } from "./usage.ts";

const DOUBLE = join(import.meta.dirname, "claude-double.fixture.ts");
const KEY = { ANTHROPIC_API_KEY: "sk-made-up" };

function createAgent(scene: AgentScene, { folder, home }: AgentPlace, options: ClaudeCodeOptions = {}) {
  setScene(home, scene);
  return claudeCodeAgent({ command: writeCommand(folder, DOUBLE), environment: KEY, ...options });
}

testCodingAgent(test, {
  createAgent,
  createMissing: () => claudeCodeAgent({ command: "no-such-claude" }),
});

/** A turn that plays this recording. */
function withAgent(options: ClaudeCodeOptions, on: (bench: AgentBench) => Promise<void>): Promise<void> {
  const kit = {
    createAgent: (scene: AgentScene, place: AgentPlace) => createAgent(scene, place, options),
    maxWaitMs: 20_000,
  };
  return agentCheck(kit, { name: "", scene: "edits", on }).run();
}

function playing(recording: string) {
  return { environment: { ...KEY, DOUBLE_RECORDING: recording } };
}

test("without a key it is said which variables there are", () =>
  withAgent({ environment: {} }, async (bench) => {
    const turn = await bench.turn();

    bench.failsWith(turn, { code: "AGENT_UNAUTHORIZED", says: "Not logged in" });
    expect(turn.error).toMatchObject({ retry: "never", hint: expect.stringContaining("ANTHROPIC_API_KEY") });
  }));

test("an agent that no key can reach is refused before any work", async () => {
  const signal = new AbortController().signal;

  await claudeCodeAgent({ environment: KEY }).check?.({ signal });
  await expect(claudeCodeAgent({ environment: {} }).check?.({ signal })).rejects.toMatchObject({
    code: "AGENT_UNAUTHORIZED",
    hint: expect.stringContaining("ANTHROPIC_API_KEY"),
  });
});

test("an account without credit stops the turn and leads to its billing", () =>
  withAgent(playing("no-credit"), async (bench) => {
    const turn = await bench.turn();

    bench.failsWith(turn, { code: "AGENT_UNAUTHORIZED", says: "Credit balance is too low" });
    expect(turn.error).toMatchObject({ hint: expect.stringContaining("billing") });
  }));

test("a rate limit is waited out like an overload, and called by its name", () =>
  withAgent(playing("rate-limit"), async (bench) => {
    const turn = await bench.turn();

    bench.endsAs(turn, "overloaded");
    expect(turn.events).toContainEqual({
      type: "waiting",
      reason: "the rate limit of the model is reached",
      retryInMs: expect.any(Number),
    });
  }));

test("turns that are used up are the agent giving up, not a failure of its program", () =>
  withAgent(playing("max-turns"), async (bench) => void bench.endsAs(await bench.turn(), "gave-up")));

test("a command that fails is a part of the work", () =>
  withAgent(playing("failing-command"), async (bench) => void bench.endsAs(await bench.turn(), "done")));

test("its arguments are those of the settings and of the turn, and give no leave to edit outside of the checkout", () =>
  withAgent({ model: "opus", extraArgs: ["--max-turns", "7"] }, async (bench) => {
    const { sessionId } = bench.endsAs(await bench.turn(), "done");
    assert(sessionId);
    await bench.turn({ maxCostUsd: 2.5, resume: { sessionId } });

    const args: string[] = JSON.parse(readFileSync(join(bench.home, "arguments.json"), "utf8"));
    expect(args.slice(-8)).toEqual([
      ...["--model", "opus", "--max-budget-usd", "2.5", "--resume", sessionId],
      ...["--max-turns", "7"],
    ]);
    expect(args[args.indexOf("--permission-mode") + 1]).toBe("acceptEdits");
    expect(args[args.indexOf("--allowedTools") + 1]?.split(",")).not.toContain("Write");
    expect(args[args.indexOf("--setting-sources") + 1]).toBe("user");
  }));

const HAIKU = { inputTokens: 10, cacheReadInputTokens: 5, outputTokens: 2, costUSD: 0.5 };

test("of a resumed session only what belongs to the turn counts; where that is not said, it is unknown", () => {
  const result = { total_cost_usd: 3, modelUsage: { a: { ...HAIKU, costUSD: 3 } }, num_turns: 2 };
  const context = { model: "a", isResumed: true };

  expect(claudeUsage(result, context)).toEqual({ model: "a", turns: 2 });
  expect(claudeUsage({ ...result, model_usage_since_last_result: { a: HAIKU, b: HAIKU } }, context)).toEqual({
    ...{ model: "a", inputTokens: 30, outputTokens: 4, costUsd: 1, turns: 2 },
  });
});

test("a model without a known price costs an unknown sum, not nothing", () => {
  const modelUsage = { mine: { ...HAIKU, costUSD: 0 } };

  expect(claudeUsage({ modelUsage }, { model: "mine", isResumed: false })).toEqual({
    ...{ model: "mine", inputTokens: 15, outputTokens: 2 },
  });
});
