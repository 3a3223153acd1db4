import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentBench, agentCheck } from "../../../testing/agent-checks/bench.ts";
import { setScene, writeCommand } from "../../../testing/recorded-program.fixture.ts";
import { type AgentPlace, type AgentScene, testCodingAgent } from "../../../testing/test-coding-agent.ts";
import type { PermissionRequest } from "../../coding-agent.ts";
import { type ClaudeCodeOptions, claudeCodeAgent } from "./index.ts";
import { leaveDialogue } from "./leave.ts";
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

/** What the recording asks leave for. */
const COMMAND = "node -e \"require('fs').writeFileSync('made.txt','x')\"";

test("where somebody answers, a command is run with his leave alone", () =>
  withAgent(playing("asks"), async (bench) => {
    const asked: PermissionRequest[] = [];
    const answering = (verdict: "allow" | "deny") => async (request: PermissionRequest) => {
      asked.push(request);
      return verdict;
    };

    bench.endsAs(await bench.turn({ permit: answering("deny") }), "refused");
    expect(bench.has("made.txt")).toBe(false);
    bench.endsAs(await bench.turn({ permit: answering("allow") }), "done");

    expect(bench.has("made.txt")).toBe(true);
    expect(asked).toEqual([
      { tool: "Bash", detail: COMMAND },
      { tool: "Bash", detail: COMMAND },
    ]);
    const args: string[] = JSON.parse(readFileSync(join(bench.home, "arguments.json"), "utf8"));
    expect(args[args.indexOf("--allowedTools") + 1]?.split(",")).not.toContain("Bash");
  }));

test("an answer that a person has to give first ends the turn, and is thrown on", () =>
  withAgent(playing("asks"), async (bench) => {
    const later = new Error("a person is asked");

    const turn = await bench.turn({ permit: () => Promise.reject(later) });

    expect(turn.error).toBe(later);
    expect(bench.has("made.txt")).toBe(false);
  }));

test("files that it asks about lie elsewhere, and nobody is asked; what it asks otherwise is answered with no", async () => {
  const dialogue = leaveDialogue(() => Promise.reject(new Error("asked")));
  const answer = async (request: object) =>
    JSON.parse((await dialogue.answer({ type: "control_request", request_id: "7", request })) ?? "").response;

  const write = { subtype: "can_use_tool", tool_name: "Write", input: { file_path: "/etc/passwd" } };
  expect(await answer(write)).toMatchObject({ request_id: "7", response: { behavior: "deny" } });
  expect(await answer({ subtype: "hook_callback" })).toMatchObject({ subtype: "error", request_id: "7" });
  expect(dialogue.answer({ type: "assistant" })).toBeUndefined();
});

test("of two long commands that begin alike, each is asked about in full", async () => {
  const details: string[] = [];
  const dialogue = leaveDialogue(async ({ detail }) => {
    details.push(detail);
    return "deny";
  });

  for (const command of ["a", "b"].map((end) => `${"x".repeat(5000)} ${end}`)) {
    const request = { subtype: "can_use_tool", tool_name: "Bash", input: { command } };
    await dialogue.answer({ type: "control_request", request_id: "7", request });
  }

  expect(details[0]).not.toBe(details[1]);
});

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
