/** The checks of turns that end by the agent's own word. */
import assert from "node:assert/strict";
import type { AgentUsage } from "../../workflow/coding-agent.ts";
import { type AgentKit, agentCheck, type CheckOfScene, type EndedTurn } from "./bench.ts";

/** No session of any agent. */
const UNKNOWN_SESSION = "00000000-0000-4000-8000-000000000000";

export function turnChecks(kit: AgentKit): CheckOfScene[] {
  return [
    agentCheck(kit, {
      name: "a turn that edits ends as done, with its session, its events and its transcript",
      scene: "edits",
      async on(bench) {
        const turn = await bench.turn();

        const result = bench.endsAs(turn, "done");
        assert.ok(bench.has("edited.txt"), "edited.txt is not in the checkout");
        assert.equal(turn.events[0]?.type, "session", "its first event is not its session");
        assert.equal(result.sessionId, sessionOf(turn));
        const acts = turn.events.filter(({ type }) => type === "tool" || type === "edited");
        assert.ok(acts.length > 0, "no event tells what it did");
        assert.ok(turn.transcript.length >= turn.events.length / 2, "its transcript lacks what it wrote");
      },
    }),
    agentCheck(kit, {
      name: "what it does not know of its usage is absent, never zero",
      scene: "edits",
      async on(bench) {
        const { usage } = bench.endsAs(await bench.turn(), "done");

        const zeros = Object.entries(usage).filter(([, value]) => value === 0 || value === "");
        assert.deepEqual(zeros, []);
      },
    }),
    agentCheck(kit, {
      name: "a prompt longer than an argument may be, and full of signs, is taken",
      scene: "edits",
      async on(bench) {
        const prompt = `--help\n'"\`$(touch pwned) {"type":"result"}\n${"long ".repeat(60_000)}`;

        bench.endsAs(await bench.turn({ prompt }), "done");

        assert.ok(!bench.has("pwned"), "a part of the prompt was run");
      },
    }),
    ...sessionChecks(kit),
    ...outcomeChecks(kit),
  ];
}

function sessionChecks(kit: AgentKit): CheckOfScene[] {
  return [
    agentCheck(kit, {
      name: "a session is gone on with, under the same id, and a turn's usage is its own",
      scene: "goes on",
      async on(bench) {
        const first = bench.endsAs(await bench.turn(), "done");
        assert.ok(bench.has("first.txt"), "the first turn did not write first.txt");
        assert.ok(!bench.has("second.txt"), "the first turn did the second one's work");
        const sessionId = first.sessionId ?? assert.fail("it has no session id");

        const second = await bench.turn({ resume: { sessionId, usage: first.usage } });

        assert.equal(bench.endsAs(second, "done").sessionId, sessionId);
        assert.ok(bench.has("second.txt"), "the second turn did not go on");
        assertNotDoubled(first.usage, second.result?.usage ?? {});
      },
    }),
    agentCheck(kit, {
      name: "a session that is gone is told apart from work that failed",
      scene: "goes on",
      async on(bench) {
        const turn = await bench.turn({ resume: { sessionId: UNKNOWN_SESSION } });

        const result = bench.endsAs(turn, "session-lost");
        assert.equal(result.sessionId, undefined);
      },
    }),
  ];
}

function outcomeChecks(kit: AgentKit): CheckOfScene[] {
  return [
    agentCheck(kit, {
      name: "a turn that has used up its budget says so, with what it cost",
      scene: "spends",
      async on(bench) {
        const { usage } = bench.endsAs(await bench.turn({ maxCostUsd: 0.01 }), "budget");

        assert.ok((usage.costUsd ?? 0) > 0, "it does not say what it cost");
      },
    }),
    agentCheck(kit, {
      name: "a turn that was refused what it needed is not done",
      scene: "is refused",
      on: async (bench) => void bench.endsAs(await bench.turn(), "refused"),
    }),
    agentCheck(kit, {
      name: "an agent that could not do it says why",
      scene: "gives up",
      on: async (bench) => void bench.endsAs(await bench.turn(), "gave-up"),
    }),
    agentCheck(kit, {
      name: "an overload that passes is waited out and said",
      scene: "waits",
      async on(bench) {
        const turn = await bench.turn();

        bench.endsAs(turn, "done");
        assert.ok(bench.has("edited.txt"), "edited.txt is not in the checkout");
        assert.ok(waits(turn) > 0, "it waited without a word");
      },
    }),
    agentCheck(kit, {
      name: "an overload that does not pass is no failure of the task",
      scene: "is overloaded",
      async on(bench) {
        const turn = await bench.turn();

        bench.endsAs(turn, "overloaded");
        assert.ok(waits(turn) > 0, "it waited without a word");
      },
    }),
  ];
}

function sessionOf({ events }: EndedTurn): string | undefined {
  return events.flatMap((event) => (event.type === "session" ? [event.id] : []))[0];
}

function waits({ events }: EndedTurn): number {
  return events.filter(({ type }) => type === "waiting").length;
}

/** The second turn of the scene is no longer than the first: one that counts more counts the first again. */
function assertNotDoubled(first: AgentUsage, second: AgentUsage): void {
  for (const name of ["costUsd", "inputTokens", "outputTokens"] as const) {
    const [before, after] = [first[name], second[name]];
    if (before === undefined || after === undefined) continue;
    assert.ok(after <= before, `${name} counts the session, not the turn: ${before}, then ${after}`);
  }
}
