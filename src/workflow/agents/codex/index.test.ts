import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AgentBench, agentCheck } from "../../../testing/agent-checks/bench.ts";
import { setScene, writeCommand } from "../../../testing/recorded-program.fixture.ts";
import { type AgentPlace, type AgentScene, testCodingAgent } from "../../../testing/test-coding-agent.ts";
import type { AgentEvent, AgentRequest } from "../../coding-agent.ts";
import { type CodexOptions, codexAgent } from "./index.ts";
import { codexTurn } from "./turn.ts";

const DOUBLE = join(import.meta.dirname, "codex-double.fixture.ts");
const KEY = { CODEX_API_KEY: "sk-made-up" };

function createAgent(scene: AgentScene, { folder, home }: AgentPlace, options: CodexOptions = {}) {
  setScene(home, scene);
  return codexAgent({ command: writeCommand(folder, DOUBLE), environment: KEY, ...options });
}

testCodingAgent(test, {
  createAgent,
  createMissing: () => codexAgent({ command: "no-such-codex" }),
  // It neither knows what it costs nor tells of what it was refused.
  without: ["spends", "is refused"],
});

/** A turn with these settings. */
function withAgent(options: CodexOptions, on: (bench: AgentBench) => Promise<void>): Promise<void> {
  const kit = {
    createAgent: (scene: AgentScene, place: AgentPlace) => createAgent(scene, place, options),
    maxWaitMs: 20_000,
  };
  return agentCheck(kit, { name: "", scene: "edits", on }).run();
}

function playing(recording: string) {
  return { environment: { ...KEY, DOUBLE_RECORDING: recording } };
}

test("without a key it is said which variable there is", () =>
  withAgent({ environment: {} }, async (bench) => {
    const turn = await bench.turn();

    bench.failsWith(turn, { code: "AGENT_UNAUTHORIZED", says: "CODEX_API_KEY" });
    expect(turn.error).toMatchObject({ retry: "never", hint: expect.stringContaining("CODEX_API_KEY") });
  }));

test("an agent that no key can reach is refused before any work", async () => {
  const signal = new AbortController().signal;

  await codexAgent({ environment: KEY }).check?.({ signal });
  await expect(codexAgent({ environment: {} }).check?.({ signal })).rejects.toMatchObject({
    code: "AGENT_UNAUTHORIZED",
    hint: expect.stringContaining("CODEX_API_KEY"),
  });
});

test("an account without credit stops the turn and leads to its billing", () =>
  withAgent(playing("no-credit"), async (bench) => {
    const turn = await bench.turn();

    bench.failsWith(turn, { code: "AGENT_UNAUTHORIZED", says: "Quota exceeded" });
    expect(turn.error).toMatchObject({ hint: expect.stringContaining("billing") });
  }));

test("a rate limit is waited out like an overload, and called by its name", () =>
  withAgent(playing("rate-limit"), async (bench) => {
    const turn = await bench.turn();

    bench.endsAs(turn, "overloaded");
    expect(turn.events).toContainEqual({ type: "waiting", reason: "the rate limit of the model is reached" });
  }));

test("a command that fails is a part of the work", () =>
  withAgent(playing("failing-command"), async (bench) => void bench.endsAs(await bench.turn(), "done")));

test("its model is the one that was asked for, and its cost is unknown", () =>
  withAgent({ model: "gpt-5-codex" }, async (bench) => {
    const { usage } = bench.endsAs(await bench.turn({ maxCostUsd: 1 }), "done");

    expect(usage).toEqual({ model: "gpt-5-codex", inputTokens: 2400, outputTokens: 68 });
  }));

test("its own sandbox is off only where Robson's stands around it, in resumed turns too", () =>
  withAgent({ isSandboxed: true, extraArgs: ["-c", "x=1"] }, async (bench) => {
    const readArgs = (): string[] => JSON.parse(readFileSync(join(bench.home, "arguments.json"), "utf8"));
    const { sessionId } = bench.endsAs(await bench.turn(), "done");
    assert(sessionId);
    expect(readArgs()).toContain('sandbox_mode="danger-full-access"');

    await bench.turn({ resume: { sessionId } });

    expect(readArgs().slice(0, 2)).toEqual(["exec", "resume"]);
    expect(readArgs()).toContain('sandbox_mode="danger-full-access"');
    expect(readArgs().slice(-4)).toEqual(["-c", "x=1", sessionId, "-"]);
    await withAgent({}, async (outside) => {
      await outside.turn();
      const file = join(outside.home, "arguments.json");
      expect(JSON.parse(readFileSync(file, "utf8"))).toContain('sandbox_mode="workspace-write"');
    });
  }));

function play(events: Record<string, unknown>[], resume?: AgentRequest["resume"]) {
  const heard: AgentEvent[] = [];
  const request = { directory: "/checkout", onEvent: (event: AgentEvent) => heard.push(event), resume };
  const turn = codexTurn(request as unknown as AgentRequest, { model: undefined });
  for (const event of events) turn.read(event);
  return { heard, result: () => turn.result({ exitCode: 0, endedBy: "itself", stdout: "", stderr: "" }) };
}

test("a patch is told by its files, those of the checkout alone", () => {
  const changes = [{ path: "/checkout/a/b.ts" }, { path: "/etc/passwd" }, { path: "c.ts" }];
  const { heard } = play([
    { type: "item.completed", item: { type: "file_change", status: "completed", changes } },
    { type: "item.completed", item: { type: "file_change", status: "failed", changes } },
  ]);

  expect(heard).toEqual([
    { type: "edited", file: "a/b.ts" },
    { type: "edited", file: "c.ts" },
  ]);
});

test("of a resumed thread only the turn's part counts, and without what was used before it is unknown", () => {
  const usage = { input_tokens: 4800, output_tokens: 136 };
  const events = [
    { type: "thread.started", thread_id: "t" },
    { type: "turn.completed", usage },
  ];
  const before = { inputTokens: 2400, outputTokens: 68 };

  expect(play(events, { sessionId: "t", usage: before }).result().usage).toEqual(before);
  expect(play(events, { sessionId: "t" }).result().usage).toEqual({});
});

test("what it declined to run, and nothing else, is a refusal", () => {
  const declined = { type: "item.completed", item: { type: "command_execution", status: "declined" } };
  const done = { type: "item.completed", item: { type: "command_execution", status: "completed" } };
  const end = { type: "turn.completed" };

  expect(play([declined, end]).result().outcome).toBe("refused");
  expect(play([declined, done, end]).result().outcome).toBe("done");
});
