/** An agent's requests for leave: allowed or refused by the policy, or asked of a person while nothing is held. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import type { CodingAgent } from "./coding-agent.ts";

let world: DemoWorkflow;
let turns: string[];

beforeEach(async () => {
  turns = [];
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

/** Asks for leave for both, and notes what it was told. */
const asking: CodingAgent = {
  name: "asking",
  async run({ directory, resume, permit, onEvent }) {
    onEvent({ type: "session", id: "s1" });
    const turn = [resume ? "resumed" : "fresh"];
    turns.push(turn.join());
    for (const detail of ["npm install left-pad", "npm install left-pad", "curl example.org"]) {
      const answer = permit ? await permit({ tool: "shell", detail }) : "unasked";
      turn.push(answer);
      turns[turns.length - 1] = turn.join(", ");
    }
    await writeFile(join(directory, "total.js"), "export const total = () => 600;\n");
    return { outcome: "done", summary: "Done", usage: {} };
  },
};

test("are its adapter's to decide where the policy is to allow, and refused where it is to deny", async () => {
  world.options.agent = asking;
  await world.run("DEMO-1");
  expect(turns).toEqual(["fresh, unasked, unasked, unasked"]);

  await world.create({ key: "DEMO-2", summary: "Again", repoUrls: [world.project.repoUrl] });
  world.options.permissions = "deny";
  await world.run("DEMO-2");
  expect(turns[1]).toBe("fresh, deny, deny, deny");
});

test("are asked of a person, each once, and the turn goes on in its session with the answers", async () => {
  world.options.agent = asking;
  world.options.permissions = "ask";
  const { conversationId, texts } = await world.run("DEMO-1", { untilWaiting: true });
  expect(texts.at(-1)).toMatch(/the agent "asking" asks for leave to use shell: npm install left-pad/);

  const answer = (value: string) =>
    world.store.runs.answer(conversationId, { value, by: "Ann", at: Date.now() });
  expect(await answer("allow")).toBe(true);
  const second = await world.resume({ untilWaiting: true });
  expect(second.texts.at(-1)).toContain("curl example.org");
  expect(await answer("deny")).toBe(true);
  await world.resume();

  expect(turns).toEqual(["fresh", "resumed, allow, allow", "resumed, allow, allow, deny"]);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("a turn that was interrupted twice behind its question begins afresh, and is not asked about again", async () => {
  let sessions = 0;
  world.options.permissions = "ask";
  world.options.agent = {
    name: "asking",
    async run({ directory, resume, permit, onEvent }) {
      if (!resume) sessions += 1;
      onEvent({ type: "session", id: resume?.sessionId ?? `s${sessions}` });
      turns.push(resume ? `resumed ${resume.sessionId}` : "fresh");
      await permit?.({ tool: "shell", detail: "npm install" });
      await writeFile(join(directory, "total.js"), "export const total = () => 600;\n");
      return { outcome: "done", summary: "Done", usage: {} };
    },
  };
  const { conversationId } = await world.run("DEMO-1", { untilWaiting: true });
  await world.store.runs.answer(conversationId, { value: "allow", by: "Ann", at: Date.now() });
  let crashes = 0;
  const probe = (point: string) => {
    if (point !== "origin: agent 1: done" || crashes === 2) return;
    crashes += 1;
    throw new Error("the power failed");
  };

  await world.resume({ probe, maxAttempts: 10 });

  expect(turns).toEqual(["fresh", "resumed s1", "resumed s1", "fresh"]);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});
