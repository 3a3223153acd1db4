/** What each real agent must do through its adapter alone. A scenario rejects with what was otherwise. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { RobsonError } from "../src/core/errors.ts";
import type { AgentOutcome, AgentResult } from "../src/workflow/coding-agent.ts";
import { AFTER, BEFORE, createPlace, type EndedTurn, type Place } from "./place.ts";
import type { RealAgent } from "./real-agents.ts";

export interface Scenario {
  name: string;
  says: string;
  run(agent: RealAgent): Promise<EndedTurn[]>;
}

/** Longer than any scenario waits. */
const LONG_COMMAND = "node -e 'setTimeout(() => {}, 600000)'";

export const SCENARIOS: Scenario[] = [
  scenario("edit", "mends the file, and tells what it did and what it took", async (agent, place) => {
    place.model.play(({ step }) =>
      step === 0 ? agent.edit(place.file, AFTER) : { text: "Done: sum adds." },
    );

    const turn = await place.turn(agent);

    const result = endsAs(turn, "done");
    assert.equal(place.content(), AFTER);
    assert.match(result.summary, /sum adds/);
    assert.equal(turn.events[0]?.type, "session");
    assert.ok(
      turn.events.some(({ type }) => type === "tool" || type === "edited"),
      "no event tells of the edit",
    );
    assert.ok((result.usage.inputTokens ?? 0) > 0, "it does not say what it took");
    return [turn];
  }),
  scenario("killed", "goes on with its session after SIGKILL", async (agent, place) => {
    place.model.play(({ step }) =>
      step === 0 ? agent.edit(place.file, AFTER) : agent.command(LONG_COMMAND),
    );
    const first = await place.turn(agent, {
      onEvent: (event, { pid }) => {
        if (isCommand(event)) process.kill(-pid, "SIGKILL");
      },
    });
    failsWith(first, "AGENT_FAILED");
    const session = first.events.find((event) => event.type === "session");
    assert.ok(session?.type === "session");

    place.model.play(() => ({ text: "I went on: sum adds." }));
    const second = await place.turn(agent, { resume: { sessionId: session.id } });

    assert.equal(endsAs(second, "done").sessionId, session.id);
    assert.match(second.result?.summary ?? "", /went on/);
    assert.equal(place.content(), AFTER);
    return [first, second];
  }),
  scenario("lost", "says that a session is gone", async (agent, place) => {
    const turn = await place.turn(agent, { resume: { sessionId: "00000000-0000-4000-8000-000000000000" } });

    endsAs(turn, "session-lost");
    return [turn];
  }),
  scenario(
    "interrupted",
    "ends at once when it is stopped, with all that it started",
    async (agent, place) => {
      place.model.play(() => agent.command(LONG_COMMAND));
      const reason = new Error("stopped by a person");

      const turn = await place.turn(agent, {
        onEvent: (event, { abort }) => {
          if (isCommand(event)) abort(reason);
        },
      });

      assert.equal(turn.error, reason);
      return [turn];
    },
  ),
  scenario("budget", "stops when its budget is used up", async (agent, place) => {
    place.model.play(() => agent.edit(place.file, AFTER));

    const turn = await place.turn(agent, { maxCostUsd: 0.1 });

    const { usage } = endsAs(turn, "budget");
    assert.ok((usage.costUsd ?? 0) >= 0.05, `it says that it cost ${usage.costUsd}`);
    assert.ok(place.model.requests() < 10, `it asked its model ${place.model.requests()} times`);
    return [turn];
  }),
  scenario("waits", "waits while its model is overloaded, and goes on", async (agent, place) => {
    place.model.play(({ step, attempt }) => {
      if (attempt === 0) return { status: 529, type: "overloaded_error", message: "Overloaded" };
      return step === 0 ? agent.edit(place.file, AFTER) : { text: "Done: sum adds." };
    });

    const turn = await place.turn(agent);

    endsAs(turn, "done");
    assert.equal(place.content(), AFTER);
    return [turn];
  }),
  scenario("overloaded", "says that its model is overloaded when that does not end", async (agent, place) => {
    place.model.play(() => ({ status: 529, type: "overloaded_error", message: "Overloaded" }));

    const turn = await place.turn(agent, {
      setting: { isImpatient: true },
      limits: { agentStallMs: 40_000 },
    });

    endsAs(turn, "overloaded");
    return [turn];
  }),
  scenario("unauthorized", "stops when its key is refused", async (agent, place) => {
    const refusal =
      agent.name === "gemini"
        ? {
            status: 400,
            type: "INVALID_ARGUMENT",
            message: "API key not valid. Please pass a valid API key.",
          }
        : { status: 401, type: "authentication_error", message: "invalid x-api-key" };
    place.model.play(() => refusal);

    const turn = await place.turn(agent, { setting: { isImpatient: true } });

    failsWith(turn, "AGENT_UNAUTHORIZED");
    return [turn];
  }),
  scenario("refused", "is told no, and ends without what it was refused", async (agent, place) => {
    const act = agent.needsLeave?.() ?? agent.edit(`${place.folder}/elsewhere.js`, AFTER);
    place.model.play(({ step }) => (step === 0 ? act : { text: "I may not do that." }));

    const turn = await place.turn(agent, { setting: { isCautious: true }, permit: async () => "deny" });

    endsAs(turn, "refused");
    assert.equal(place.content(), BEFORE);
    for (const folder of [place.folder, place.directory]) assert.ok(!existsSync(`${folder}/elsewhere.js`));
    return [turn];
  }),
  scenario("asked", "asks for leave to run a command, and runs it once it has that", async (agent, place) => {
    const asked: string[] = [];
    place.model.play(({ step }) =>
      step === 0 ? agent.command(`node -e 'fs.writeFileSync("made.txt", "x")'`) : { text: "It is made." },
    );

    const turn = await place.turn(agent, {
      setting: { isCautious: true },
      permit: async ({ detail }) => {
        asked.push(detail);
        return "allow";
      },
    });

    endsAs(turn, "done");
    assert.equal(asked.length, 1, `it asked ${asked.length} times: ${asked.join("; ")}`);
    assert.match(asked[0] ?? "", /made\.txt/);
    assert.ok(existsSync(`${place.directory}/made.txt`));
    return [turn];
  }),
];

function scenario(
  name: string,
  says: string,
  play: (agent: RealAgent, place: Place) => Promise<EndedTurn[]>,
): Scenario {
  const run = async (agent: RealAgent) => {
    const place = await createPlace(agent);
    try {
      const turns = await play(agent, place);
      for (const { left } of turns) assert.equal(left, 0, "it left programs running");
      return turns;
    } finally {
      await place.remove();
    }
  };
  return { name, says, run };
}

function isCommand(event: EndedTurn["events"][number]): boolean {
  return event.type === "tool" && event.detail.includes("600000");
}

function endsAs({ result, error }: EndedTurn, outcome: AgentOutcome): AgentResult {
  if (result === undefined) throw new Error(`it was to end as "${outcome}", but threw: ${String(error)}`);
  assert.equal(result.outcome, outcome, `it ended as "${result.outcome}": ${result.summary}`);
  return result;
}

function failsWith({ result, error }: EndedTurn, code: RobsonError["code"]): void {
  assert.ok(
    error instanceof RobsonError,
    `it ended as "${result?.outcome}", or threw otherwise: ${String(error)}`,
  );
  assert.equal(error.code, code, error.message);
}
