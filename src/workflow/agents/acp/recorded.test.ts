import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { AgentEvent } from "../../coding-agent.ts";
import { decidePermission } from "./permissions.ts";
import { createSessionRecord } from "./session-record.ts";

/** What the real agents printed to `npm run test:agents -- --record` (their versions are in its lockfile). */
const FOLDER = "/run";
const DIRECTORY = "/run/checkout";

test("claude-agent-acp tells of an edit, with its tokens and cost", async () => {
  const { events, turn } = await replay("claude-agent-acp-edit");

  expect(acts(events)).toEqual([
    { type: "tool", name: "Write", detail: "Write sum.js" },
    { type: "edited", file: "sum.js" },
  ]);
  expect(turn).toMatchObject({ text: "Done: sum adds.", refusal: undefined });
  expect(turn.usage).toEqual({
    inputTokens: 24_000,
    outputTokens: 690,
    costUsd: expect.closeTo(0.1647),
    model: "claude-opus-5-5",
  });
});

test("opencode tells of an edit, with its tokens and cost", async () => {
  const { events, turn } = await replay("opencode-edit");

  expect(acts(events)).toEqual([
    { type: "tool", name: "edit", detail: "write: sum.js" },
    { type: "edited", file: "sum.js" },
  ]);
  expect(turn.usage).toEqual({ inputTokens: 12_000, outputTokens: 345, costUsd: expect.closeTo(0.13725) });
});

test("Gemini tells of an edit when it is done, with its tokens and model, and no cost", async () => {
  const { events, turn } = await replay("gemini-edit");

  expect(acts(events)).toEqual([
    { type: "tool", name: "edit", detail: "Writing to sum.js" },
    { type: "edited", file: "sum.js" },
  ]);
  expect(turn.usage).toEqual({ inputTokens: 24_000, outputTokens: 690, model: "gemini-2.5-pro" });
});

test("each of them asks in a form that can be answered", async () => {
  for (const name of ["claude-agent-acp-refused", "opencode-refused", "gemini-refused"]) {
    const { verdicts, turn } = await replay(name);

    expect(verdicts, name).toEqual(["deny"]);
    expect(turn.refusal, name).toBeDefined();
  }
});

async function replay(name: string) {
  const text = readFileSync(join(import.meta.dirname, "recorded", `${name}.jsonl`), "utf8");
  const events: AgentEvent[] = [];
  const verdicts: string[] = [];
  const record = createSessionRecord({
    directory: DIRECTORY,
    spentBefore: 0,
    onEvent: (event) => events.push(event),
    onCost: () => undefined,
  });
  const permit = async () => "deny" as const;
  for (const line of text
    .trim()
    .replaceAll("{directory}", DIRECTORY)
    .replaceAll("{folder}", FOLDER)
    .split("\n")) {
    const { method, params, result }: Message = JSON.parse(line);
    if (method === "session/update") record.update(params);
    if (method === "session/request_permission") {
      record.tool(params.toolCall);
      const rules = { directory: DIRECTORY, home: undefined, permit };
      const { verdict, asked } = await decidePermission(params, rules);
      verdicts.push(verdict);
      if (verdict === "deny") record.refused(asked.detail);
    }
    if (result?.sessionId) record.begin(result.sessionId);
    if (result) record.answer(result);
  }
  return { events, verdicts, turn: record.finish() };
}

interface Message {
  method?: string;
  params: Parameters<typeof decidePermission>[0];
  result?: { sessionId?: string };
}

function acts(events: AgentEvent[]): AgentEvent[] {
  return events.filter(({ type }) => type === "tool" || type === "edited");
}
