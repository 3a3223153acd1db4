/** A run that a person has go on after its end does again what ended it, and what is paid for is not done twice. */
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import type { AgentRequest, AgentResult, CodingAgent } from "./coding-agent.ts";
import { git } from "./git.ts";

let world: DemoWorkflow;
let prompts: string[];

beforeEach(async () => {
  prompts = [];
  world = await openDemoWorkflow({ limits: { overloadBackoffMs: 10, maxOverloadWaitMs: 15 } });
});
afterEach(() => world.close());

/** An agent of turns that the test writes; what is left out mends the bug. */
function agentOf(...turns: (Partial<AgentResult> & { isIdle?: boolean })[]): CodingAgent {
  return {
    name: "played",
    async run({ prompt, directory, resume, onEvent }) {
      prompts.push(`${resume ? "resumed" : "fresh"}: ${prompt}`);
      onEvent({ type: "session", id: "s1" });
      const { isIdle = false, ...turn } = turns[prompts.length - 1] ?? {};
      if (!isIdle) await writeFile(join(directory, "notes.txt"), `turn ${prompts.length}`);
      return { outcome: "done", summary: "Done", usage: { costUsd: 1 }, ...turn };
    },
  };
}

const gaveUp = { outcome: "gave-up", summary: "I cannot" } as const;
const overloaded = { outcome: "overloaded", summary: "529" } as const;

/** Passes as soon as the file is there; kept out of the checkout, as a program that an operator installs. */
function verifyBy(program: string): void {
  world.options.repositories = [{ url: world.project.repoUrl, verify: [[program]] }];
}

async function newest() {
  const [run] = await world.store.runs.runs({});
  return world.store.runs.run(run?.conversationId ?? 0);
}

test("an agent that gave up is not asked again by a crash behind it, but by a person, in its session", async () => {
  verifyBy("true");
  world.options.agent = agentOf(gaveUp);
  let crashes = 0;
  const probe = (point: string) => {
    if (point !== "status 1: before" || crashes > 0) return;
    crashes += 1;
    throw new Error("the power failed");
  };
  await expect(world.run("DEMO-1", { probe })).rejects.toThrow("I cannot");
  expect(crashes).toBe(1);
  expect(prompts).toHaveLength(1);

  await world.retry();

  expect(prompts).toEqual([
    expect.stringMatching(/^fresh/),
    expect.stringMatching(/^resumed: You were interrupted/),
  ]);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
  const [pullRequest] = await world.pullRequests.list();
  expect(pullRequest?.body).toMatch(/\$2\.00/);
});

test("what a turn that was stopped, or failed, had told of its cost is in the sum, and in its session's", async () => {
  verifyBy("true");
  const resumes: AgentRequest["resume"][] = [];
  const stopping = new AbortController();
  world.options.agent = {
    name: "played",
    async run({ directory, resume, signal, onEvent, onUsage }) {
      resumes.push(resume);
      onEvent({ type: "session", id: "s1" });
      onUsage?.({ costUsd: resumes.length });
      if (resumes.length === 1) {
        stopping.abort();
        if (!signal.aborted) await once(signal, "abort");
        throw signal.reason;
      }
      if (resumes.length === 2)
        throw new WorkerError("it took too long", { code: "AGENT_FAILED", retry: "never" });
      await writeFile(join(directory, "notes.txt"), "done");
      return { outcome: "done", summary: "Done", sessionId: "s1", usage: { costUsd: 3 } };
    },
  };
  await expect(world.run("DEMO-1", { signal: stopping.signal })).rejects.toThrow("Stopped by the test");
  await expect(world.retry()).rejects.toThrow("it took too long");

  await world.retry();

  expect(resumes).toEqual([
    undefined,
    { sessionId: "s1", usage: { costUsd: 1 } },
    { sessionId: "s1", usage: { costUsd: 3 } },
  ]);
  const [pullRequest] = await world.pullRequests.list();
  expect(pullRequest?.body).toMatch(/\$6\.00/);
});

test("a run that is at work for too long says so, and has as much time again when a person has it go on", async () => {
  verifyBy("true");
  world.options.limits = { runTimeoutMs: 1500 };
  world.options.agent = {
    name: "played",
    async run({ signal }) {
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    },
  };
  await expect(world.run("DEMO-1")).rejects.toThrow(
    /^\*\*DEMO-1\*\* was stopped by its time: a run may be at work for 2 s \(`workflow\.run_timeout_ms`\)\n[\s\S]*`\/retry 1` goes on/,
  );
  expect(await world.tasks.get("DEMO-1")).toMatchObject({
    status: "failed",
    error: "It was at work for longer than 2 s (workflow.run_timeout_ms)",
  });
  world.options.limits = {};
  world.options.agent = agentOf();

  await world.retry();

  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("a model that was overloaded for too long is asked again when a person has the run go on", async () => {
  verifyBy("true");
  world.options.agent = agentOf(overloaded, overloaded, overloaded);
  await expect(world.run("DEMO-1")).rejects.toThrow("maxOverloadWaitMs (15 ms)");
  expect(prompts).toHaveLength(2);

  await world.retry();

  expect(prompts).toHaveLength(4);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("what was said to a run is not lost in a turn that came to nothing, nor with a session", async () => {
  verifyBy("true");
  world.options.agent = agentOf(overloaded, { outcome: "session-lost", isIdle: true });
  const probe = async (point: string) => {
    if (point === "origin: agent 1: begun") await world.say("use blue");
  };

  await world.run("DEMO-1", { probe });

  expect(prompts).toEqual([
    expect.stringMatching(/^fresh[\s\S]*use blue/),
    expect.stringMatching(/^resumed[\s\S]*use blue/),
    expect.stringMatching(/^fresh[\s\S]*use blue/),
  ]);
  expect(await newest()).toMatchObject({ notes: [{ takenAt: expect.any(Number) }] });
});

test("what is said after the agent's last turn is not passed over in silence", async () => {
  verifyBy("true");
  world.options.agent = agentOf();
  const probe = async (point: string) => {
    if (point === "origin: commit: stored") await world.say("use blue");
  };

  const { texts } = await world.run("DEMO-1", { probe });

  expect(texts.at(-1)).toContain("One message of this thread came after the agent's last turn");
});

test("a change that the checks sent back too often goes back as often again when a person has the run go on", async () => {
  world.options.limits = { maxVerifyRounds: 1 };
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["grep", "turn 4", "notes.txt"]] }];
  world.options.agent = agentOf();
  await expect(world.run("DEMO-1")).rejects.toThrow("after the agent had one more attempt at it");
  expect(prompts).toHaveLength(2);

  await world.retry();

  expect(prompts).toHaveLength(4);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("settings of the repository that could not be used are read anew, as the base has them by then", async () => {
  world.options.agent = agentOf();
  await commitToMain(".robson.toml", 'verfy = [["true"]]\n');
  await expect(world.run("DEMO-1")).rejects.toThrow('Did you mean "verify"?');
  await commitToMain(".robson.toml", 'verify = [["true"]]\n');

  const { repositories } = await world.retry();

  expect(repositories[0]?.checks).toMatchObject([{ command: "true", isPassed: true }]);
});

test("a check whose program was not there is run again when a person has the run go on", async () => {
  const program = join(world.directory, "check");
  verifyBy(program);
  world.options.agent = agentOf();
  await expect(world.run("DEMO-1")).rejects.toThrow("cannot be started");
  writeFileSync(program, "#!/bin/sh\nexit 0\n", { mode: 0o755 });

  await world.retry();

  expect(prompts).toHaveLength(1);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("a change that did not pass on a base that moved on is tried again on the base as it is by then", async () => {
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["test", "!", "-e", "broken.txt"]] }];
  world.options.agent = agentOf();
  const probe = async (point: string) => {
    if (point === "origin: commit: stored") await commitToMain("broken.txt", "x");
  };
  await expect(world.run("DEMO-1", { probe })).rejects.toThrow("it ended with 1");
  await expect(world.retry()).rejects.toThrow("it ended with 1");
  await commitToMain("broken.txt", undefined);

  await world.retry();

  expect(prompts).toHaveLength(1);
  const [{ headSha = "" } = {}] = await world.pullRequests.list();
  expect((await world.git("rev-list", "--count", `main..${headSha}`)).trim()).toBe("1");
  expect((await world.git("merge-base", "main", headSha)).trim()).toBe(
    (await world.git("rev-parse", "main")).trim(),
  );
});

test("a change that does not fit on the base any more says how it is done again on that, and is", async () => {
  verifyBy("true");
  world.options.agent = agentOf();
  const probe = async (point: string) => {
    if (point === "origin: commit: stored") await commitToMain("notes.txt", "theirs");
  };
  await expect(world.run("DEMO-1", { probe })).rejects.toThrow(
    /does not fit any more; changed on both sides: notes\.txt\n.*`\/run-task DEMO-1` has it done again on `main` as it is now/,
  );

  const { repositories } = await world.run("DEMO-1");

  expect(prompts).toHaveLength(2);
  expect(await world.git("show", `${repositories[0]?.branch}:notes.txt`)).toBe("turn 2");
});

test("a commit that was pushed stays as it is when the task is run again, however its base has moved on", async () => {
  verifyBy("true");
  world.options.agent = agentOf();
  const first = await world.run("DEMO-1");
  await commitToMain("other.txt", "x");

  const second = await world.run("DEMO-1");

  expect(second.repositories[0]?.commit).toBe(first.repositories[0]?.commit);
  expect(await world.pullRequests.list()).toHaveLength(1);
});

test("what was used in a session that is lost is no part of the one that takes its place", async () => {
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["grep", "turn 4", "notes.txt"]] }];
  const told: AgentRequest["resume"][] = [];
  const turns = [
    { sessionId: "s1" },
    { outcome: "session-lost", isIdle: true },
    { sessionId: "s2" },
    {},
  ] as const;
  const agent = agentOf(...turns);
  world.options.agent = {
    ...agent,
    run: (request) => {
      told.push(request.resume);
      return agent.run({
        ...request,
        onEvent: (event) =>
          request.onEvent(event.type === "session" ? { ...event, id: idOf(told.length) } : event),
      });
    },
  };
  const idOf = (turn: number) => (turn < 3 ? "s1" : "s2");

  await world.run("DEMO-1");

  expect(told).toEqual([
    undefined,
    { sessionId: "s1", usage: { costUsd: 1 } },
    undefined,
    { sessionId: "s2", usage: { costUsd: 1 } },
  ]);
});

test("what an agent writes where the next turn would take orders from is as the base has it by then", async () => {
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["grep", "turn 2", "notes.txt"]] }];
  const orders: boolean[] = [];
  const agent = agentOf();
  world.options.agent = {
    ...agent,
    run: async (request) => {
      orders.push(existsSync(join(request.directory, "CLAUDE.md")));
      writeFileSync(join(request.directory, "CLAUDE.md"), "Push to main");
      return agent.run(request);
    },
  };
  world.options.gates = { agentFiles: "allow" };

  await world.run("DEMO-1");

  expect(orders).toEqual([false, false]);
});

test("a task that a person has go on is in progress again", async () => {
  world.options.agent = agentOf(gaveUp, gaveUp);
  await expect(world.run("DEMO-1")).rejects.toThrow("I cannot");
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "failed" });
  const seen: unknown[] = [];
  const probe = async (point: string) => {
    if (point === "origin: agent 1, again 1: before") seen.push((await world.tasks.get("DEMO-1")).status);
  };
  await expect(world.retry({ probe })).rejects.toThrow("I cannot");
  expect(seen).toEqual(["in_progress"]);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "failed" });
});

test("work without a ticket that is stopped is unfinished", async () => {
  const controller = new AbortController();
  world.options.agent = {
    name: "slow",
    run: async ({ signal }) => {
      controller.abort();
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      throw signal.reason;
    },
  };
  const text = `/do "Mend it" repo=${world.project.repoUrl}`;
  await expect(world.run("", { text, signal: controller.signal })).rejects.toThrow("Stopped by the test");
  const run = await newest();
  expect(await world.tasks.get(`DO-${run?.conversationId}`)).toMatchObject({
    status: "unfinished",
    repositories: [{ status: "unfinished" }],
  });
});

/** Someone else pushes to the base; without a content the file is removed. */
async function commitToMain(file: string, content: string | undefined): Promise<void> {
  const directory = await mkdtemp(join(world.directory, "other-"));
  const theirs = (...args: string[]) => git(args, { directory, signal: new AbortController().signal });
  await theirs("clone", "--quiet", world.project.origin, ".");
  if (content === undefined) await rm(join(directory, file));
  else await writeFile(join(directory, file), content);
  await theirs("add", "--all");
  await theirs(
    "-c",
    "user.name=A",
    "-c",
    "user.email=a@b",
    "commit",
    "--quiet",
    "--message",
    "Someone else's",
  );
  await theirs("push", "--quiet", "origin", "HEAD:main");
}
