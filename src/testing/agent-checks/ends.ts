/** The checks of turns that do not end well, or not by themselves: nothing of them may be left. */
import assert from "node:assert/strict";
import { type AgentKit, agentCheck, type CheckOfScene } from "./bench.ts";

export function endChecks(kit: AgentKit): CheckOfScene[] {
  return [
    agentCheck(kit, {
      name: "a refused key stops the turn at once and says what to do",
      scene: "is unauthorized",
      on: async (bench) => bench.failsWith(await bench.turn(), { code: "AGENT_UNAUTHORIZED" }),
    }),
    agentCheck(kit, {
      name: "a program that dies without a result is a failure, whatever its exit code",
      scene: "dies",
      on: async (bench) => bench.failsWith(await bench.turn(), { code: "AGENT_FAILED" }),
    }),
    agentCheck(kit, {
      name: "a program that prints without end is ended at its limit",
      scene: "floods",
      async on(bench) {
        const turn = await bench.turn({ limits: { maxProcessOutputBytes: 1_000_000 } });

        bench.failsWith(turn, { code: "AGENT_FAILED", says: "maxProcessOutputBytes (1000000)" });
      },
    }),
    agentCheck(kit, {
      name: "a program that takes too long is ended at its limit",
      scene: "hangs",
      async on(bench) {
        const turn = await bench.turn({ limits: { agentTimeoutMs: 800 } });

        bench.failsWith(turn, { code: "AGENT_FAILED", says: "agentTimeoutMs (800 ms)" });
      },
    }),
    agentCheck(kit, {
      name: "a program that falls silent is ended at its limit",
      scene: "hangs",
      async on(bench) {
        const turn = await bench.turn({ limits: { agentStallMs: 800 } });

        bench.failsWith(turn, { code: "AGENT_FAILED", says: "agentStallMs (800 ms)" });
      },
    }),
    ...abortChecks(kit),
    agentCheck(kit, {
      name: "what its programs left running in sessions of their own ends with the turn",
      scene: "leaves a program",
      async on(bench) {
        bench.endsAs(await bench.turn(), "done");

        assert.ok(bench.has("left.txt"), "the program was never started");
      },
    }),
  ];
}

function abortChecks(kit: AgentKit): CheckOfScene[] {
  const reason = new Error("stopped by a person");
  return [
    agentCheck(kit, {
      name: "an aborted turn rejects with the reason, and its session can be gone on with",
      scene: "hangs",
      async on(bench) {
        let sessionId: string | undefined;
        const turn = await bench.turn({
          onEvent(event, abort) {
            if (event.type === "session") sessionId = event.id;
            if (event.type === "tool") abort(reason);
          },
        });

        assert.equal(turn.error, reason);
        assert.ok(sessionId, "it had not said its session before its first act");

        bench.endsAs(await bench.turn({ resume: { sessionId } }), "done");
        assert.ok(bench.has("second.txt"), "the resumed session did not go on");
      },
    }),
    agentCheck(kit, {
      name: "an aborted signal starts nothing",
      scene: "edits",
      async on(bench) {
        const turn = await bench.turn({ abortedBy: reason });

        assert.equal(turn.error, reason);
        assert.equal(turn.events.length, 0);
      },
    }),
  ];
}
