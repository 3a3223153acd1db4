import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";
import { setScene, writeCommand } from "../../../testing/recorded-program.fixture.ts";
import { temporaryFolder } from "../../../testing/temporary-folder.ts";
import { type AgentPlace, type AgentScene, testCodingAgent } from "../../../testing/test-coding-agent.ts";
import { cleanEnvironment } from "../../child-process.ts";
import type { AgentEvent, AgentRequest, AgentResult } from "../../coding-agent.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../../limits.ts";
import { agentLaunch } from "../../supervisor.ts";
import { type AcpAgentOptions, acpAgent } from "./index.ts";

const FAKE = join(import.meta.dirname, "fake-agent.fixture.ts");

testCodingAgent(test, {
  createAgent: (scene: AgentScene, { folder, home }: AgentPlace) => {
    setScene(home, scene);
    return acpAgent({ command: writeCommand(folder, FAKE), limits: { killGraceMs: 1000 } });
  },
  createMissing: () => acpAgent({ command: "no-such-agent" }),
});

test("the SDK is loaded with the first turn, not with Robson", () => {
  const script = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve: (name, context, next) => (console.log(name), next(name, context)) });
    await import(${JSON.stringify(join(import.meta.dirname, "index.ts"))});
  `;
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script];
  const loaded = execFileSync(process.execPath, args, { encoding: "utf8" });

  expect(loaded).toContain("agents/acp/index.ts");
  expect(loaded).not.toContain("@agentclientprotocol");
});

test("an agent without a command is refused before any work", async () => {
  const agent = acpAgent({ name: "gemini" });

  await expect(agent.check?.({ signal: AbortSignal.timeout(1000) })).rejects.toMatchObject({
    code: "AGENT_FAILED",
    hint: expect.stringContaining("[[agents.acp]]"),
  });
});

test("a program that never answers is ended after agentAnswerMs", async (t) => {
  const turn = await run(t, "never answers", { limits: { agentAnswerMs: 300 } });

  expect(turn.error).toMatchObject({ code: "AGENT_FAILED" });
  expect(String(turn.error)).toContain('it has not answered "initialize" within agentAnswerMs (300 ms)');
});

test("a program that speaks something else is shown with its words", async (t) => {
  const turn = await run(t, "speaks garbage", { limits: { agentAnswerMs: 3000 } });

  expect(turn.error).toMatchObject({ code: "AGENT_FAILED" });
  expect(String(turn.error)).toContain("What do you want to build today?");
});

test("lines that are no messages are passed over, and stand in the transcript", async (t) => {
  const turn = await run(t, "speaks garbage too");

  expect(turn.result?.outcome).toBe("done");
  expect(turn.transcript).toContain("warning: x");
});

test("an answer that makes no sense is a failure", async (t) => {
  for (const scene of ["answers nonsense", "ends in nonsense"]) {
    const turn = await run(t, scene);

    expect(turn.error, scene).toMatchObject({ code: "AGENT_FAILED" });
    expect(String(turn.error), scene).toContain("its answers make no sense");
  }
});

test("a session's name that is too long to be kept is a failure", async (t) => {
  const turn = await run(t, "answers at length");

  expect(String(turn.error)).toContain("its session has a name of 5000 characters");
});

test("an agent of another protocol version is refused", async (t) => {
  const turn = await run(t, "speaks another version");

  expect(String(turn.error)).toContain("it speaks version 7 of the Agent Client Protocol, Robson 1");
});

test("what the agent tells becomes few events, each whole", async (t) => {
  const turn = await run(t, "edits");

  expect(turn.events).toEqual([
    { type: "session", id: turn.result?.sessionId },
    { type: "tool", name: "edit", detail: "Write edited.txt" },
    { type: "edited", file: "edited.txt" },
    { type: "message", text: "I wrote edited.txt." },
  ]);
  expect(turn.result).toMatchObject({
    summary: "I wrote edited.txt.",
    usage: { costUsd: 0.02, inputTokens: 100, outputTokens: 10 },
  });
});

test("what a resumed session tells again is not told on", async (t) => {
  const place = await aPlace(t);
  const first = await run(t, "goes on", { place });

  const second = await run(t, "goes on", { place, resume: { sessionId: first.result?.sessionId ?? "" } });

  expect(second.result?.outcome).toBe("done");
  expect(second.events).not.toContainEqual({ type: "message", text: "What was said before." });
});

test("an agent that keeps no sessions has lost each", async (t) => {
  const turn = await run(t, "keeps no sessions", { resume: { sessionId: "1" } });

  expect(turn.result?.outcome).toBe("session-lost");
});

test("a person is asked for a command, and allows it this once", async (t) => {
  const asked: unknown[] = [];

  const turn = await run(t, "asks for a command", {
    permit: async (request) => {
      asked.push(request);
      return "allow";
    },
  });

  expect(asked).toEqual([{ tool: "execute", detail: "npm test" }]);
  expect(turn.result).toMatchObject({ outcome: "done", summary: "Answer: once" });
});

test("a command that a person refuses to an agent that does nothing else ends as refused", async (t) => {
  const turn = await run(t, "asks for a command", { permit: async () => "deny" });

  expect(turn.result).toMatchObject({ outcome: "refused", summary: expect.stringContaining("npm test") });
  expect(turn.events.at(-1)).toEqual({ type: "message", text: "Answer: no" });
});

test("an agent that is refused a part of its work is done with the rest", async (t) => {
  const turn = await run(t, "edits and asks", { permit: async () => "deny" });

  expect(turn.result?.outcome).toBe("done");
});

test("a person is asked a hundred times in a turn, not more", async (t) => {
  let questions = 0;

  const turn = await run(t, "asks without end", {
    permit: async () => {
      questions += 1;
      return "allow";
    },
  });

  expect(questions).toBe(100);
  expect(turn.result?.outcome).toBe("refused");
});

test("a command is allowed where nobody is there to be asked", async (t) => {
  const turn = await run(t, "asks for a command");

  expect(turn.result).toMatchObject({ outcome: "done", summary: "Answer: once" });
});

test("a question that cannot be asked now ends the turn with its reason", async (t) => {
  const reason = new Error("suspended");

  const turn = await run(t, "asks for a command", { permit: () => Promise.reject(reason) });

  expect(turn.error).toBe(reason);
});

test("the agent gets no file by Robson", async (t) => {
  const turn = await run(t, "asks for files");

  expect(turn.result).toMatchObject({ outcome: "done", summary: "Refused: -32601" });
});

test("an aborted turn tells the agent to stop before it ends it", async (t) => {
  const reason = new Error("stopped by a person");
  const place = await aPlace(t);

  const turn = await run(t, "is cancelled", {
    place,
    abortAt: "tool",
    reason,
    limits: { killGraceMs: 20_000 },
  });

  expect(turn.error).toBe(reason);
  expect(existsSync(join(place.directory, "cancelled.txt"))).toBe(true);
});

test("an agent that spends on after it was told to stop is ended", async (t) => {
  const turn = await run(t, "spends on", { maxCostUsd: 0.01, limits: { killGraceMs: 500 } });

  expect(turn.result).toMatchObject({ outcome: "budget", usage: { costUsd: 0.02 } });
});

test("an agent that waits for its model on its stderr alone was overloaded", async (t) => {
  const turn = await run(t, "waits on its stderr", { limits: { agentStallMs: 4000 } });

  expect(turn.result).toMatchObject({ outcome: "overloaded", sessionId: expect.any(String) });
});

test("an agent that wants a log-in is named the ways that it offers", async (t) => {
  const turn = await run(t, "wants a log-in");

  expect(turn.error).toMatchObject({ code: "AGENT_UNAUTHORIZED" });
  expect(String(turn.error)).toContain("auth_method: fake-key");
});

test("an agent is logged in by the method of the config", async (t) => {
  const turn = await run(t, "wants a log-in", { agent: { authMethod: "fake-key" } });

  expect(turn.result?.outcome).toBe("done");
});

test("the mode of the config is set, and one that there is not is refused with those that there are", async (t) => {
  const known = await run(t, "tells its mode", { agent: { mode: "auto" } });
  const unknown = await run(t, "tells its mode", { agent: { mode: "yolo" } });
  const model = await run(t, "tells its mode", { agent: { model: "big" } });

  expect(known.result?.summary).toBe("auto");
  expect(String(unknown.error)).toContain('it has no mode "yolo"; it offers ask, auto');
  expect(String(model.error)).toContain('it has no model "big"; it offers none to choose from');
});

interface RunOptions extends Partial<Pick<AgentRequest, "resume" | "permit" | "maxCostUsd">> {
  place?: Place;
  agent?: Partial<AcpAgentOptions>;
  limits?: Partial<WorkflowLimits>;
  /** Aborts at the first event of this kind. */
  abortAt?: AgentEvent["type"];
  reason?: Error;
}

interface Place {
  directory: string;
  home: string;
}

async function aPlace(t: TestContext): Promise<Place> {
  const folder = await temporaryFolder(t);
  const place = { directory: join(folder, "checkout"), home: join(folder, "home") };
  for (const each of Object.values(place)) mkdirSync(each);
  return place;
}

/** One turn of the fake agent in a scene. */
async function run(t: TestContext, scene: string, options: RunOptions = {}) {
  const { place, agent, limits: some, abortAt, reason, ...request } = options;
  const { directory, home } = place ?? (await aPlace(t));
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, killGraceMs: 1000, ...some };
  const args = ["--disable-warning=ExperimentalWarning", FAKE, scene];
  const coding = acpAgent({ name: "fake", command: process.execPath, args, limits, ...agent });
  const environment = cleanEnvironment({ home });
  const abort = new AbortController();
  const { signal } = abort;
  const events: AgentEvent[] = [];
  const transcript: string[] = [];
  const turn: Promise<AgentResult> = coding.run({
    prompt: "Write edited.txt",
    directory,
    environment,
    launch: agentLaunch({ directory, environment, limits, signal }),
    signal,
    onEvent: (event) => {
      events.push(event);
      if (event.type === abortAt) abort.abort(reason);
    },
    onTranscript: (line) => void transcript.push(line),
    ...request,
  });
  const [ended] = await Promise.allSettled([turn]);
  const result = ended.status === "fulfilled" ? ended.value : undefined;
  return { result, error: ended.status === "rejected" ? ended.reason : undefined, events, transcript };
}
