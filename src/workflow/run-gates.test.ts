/** What a gate does to a run: it asks a person, or refuses, and both can be gone on from. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { createDemoProject } from "./demo-project.ts";

/** Made up; in two parts, so that no one takes this file for a leak. */
const TOKEN = ["ghp_a1B2c3D4e5F6g7H8", "i9J0k1L2m3N4o5P6q7R8"].join("");
const WORKFLOW = ".github/workflows/ci.yml";

let world: DemoWorkflow;
let prompts: string[];

beforeEach(async () => {
  prompts = [];
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

/** An agent that changes the CI where it works on one of these repositories, and notes elsewhere. */
function changingCiOf(...urls: string[]): void {
  world.options.agent = {
    name: "played",
    async run({ prompt, directory }) {
      prompts.push(prompt);
      await mkdir(join(directory, ".github/workflows"), { recursive: true });
      const file = urls.some((url) => prompt.includes(url)) ? WORKFLOW : "notes.txt";
      await writeFile(join(directory, file), "on: push\n");
      return { outcome: "done", summary: "Done", usage: {} };
    },
  };
}

async function second(): Promise<string> {
  const signal = AbortSignal.timeout(60_000);
  return (await createDemoProject(join(world.directory, "second"), { signal })).repoUrl;
}

function skipChecks(...urls: string[]): void {
  world.options.repositories = urls.map((url) => ({ url, verify: [["true"]] }));
}

const answer = (conversationId: number, value: string) =>
  world.store.runs.answer(conversationId, { value, by: "Ann", at: Date.now() });

test("the other repositories are done before a person is asked about one, and the question names it", async () => {
  const [first, other] = [world.project.repoUrl, await second()];
  skipChecks(first, other);
  changingCiOf(first);
  await world.create({ key: "DEMO-2", summary: "Both", repoUrls: [first, other] });

  const { conversationId, texts } = await world.run("DEMO-2", { untilWaiting: true });

  expect(texts).toContain(
    "progress: A person has to look at the change in `origin`: asked once the others are done",
  );
  expect(texts.at(-1)).toMatch(/^progress: \*\*DEMO-2\*\* is done in `origin`, but[\s\S]*ci\.yml/);
  expect((await world.pullRequests.list()).map(({ repoUrl }) => repoUrl)).toEqual([other]);
  expect((await world.tasks.get("DEMO-2")).repositories.map(({ status }) => status)).toEqual([
    ...["in_progress", "done"],
  ]);

  expect(await answer(conversationId, "allow")).toBe(true);
  await world.resume();

  expect(prompts).toHaveLength(2);
  expect((await world.pullRequests.list()).map(({ repoUrl, isDraft }) => [repoUrl, isDraft])).toEqual([
    [other, false],
    [first, true],
  ]);
  expect(await world.tasks.get("DEMO-2")).toMatchObject({ status: "done" });
});

test("several are asked about one after the other, and the last one is not announced", async () => {
  const [first, other] = [world.project.repoUrl, await second()];
  skipChecks(first, other);
  changingCiOf(first, other);
  await world.create({ key: "DEMO-2", summary: "Both", repoUrls: [first, other] });

  const { conversationId, texts } = await world.run("DEMO-2", { untilWaiting: true });
  expect(texts.filter((text) => text.includes("asked once the others are done"))).toHaveLength(1);
  await answer(conversationId, "allow");
  const { texts: then } = await world.resume({ untilWaiting: true });
  expect(then.at(-1)).toContain("is done in `origin 2`");
  await answer(conversationId, "refuse");

  await expect(world.resume()).rejects.toThrow("is unfinished: 1 of 2 repositories");
  expect(prompts).toHaveLength(2);
  expect(await world.pullRequests.list()).toHaveLength(1);
});

test("a run that is stopped while one stands aside gives back the workspaces of all", async () => {
  const [first, other] = [world.project.repoUrl, await second()];
  skipChecks(first, other);
  changingCiOf(first);
  await world.create({ key: "DEMO-2", summary: "Both", repoUrls: [first, other] });
  const stopping = new AbortController();
  const probe = (point: string) => {
    if (point === "origin 2: agent 1: done") stopping.abort();
  };
  await expect(world.run("DEMO-2", { probe, signal: stopping.signal })).rejects.toThrow(
    "Stopped by the test",
  );

  const { conversationId } = await world.retry({ untilWaiting: true });
  await answer(conversationId, "allow");
  await world.resume();

  expect(await world.tasks.get("DEMO-2")).toMatchObject({ status: "done" });
});

test("an agent whose change was refused hears why once a person has the run go on", async () => {
  const { repoUrl } = world.project;
  skipChecks(repoUrl);
  changingCiOf(repoUrl);
  world.options.gates = { protectedPaths: "refuse" };
  await expect(world.run("DEMO-1")).rejects.toThrow("was stopped by a gate");
  world.options.agent = {
    name: "played",
    async run({ prompt, directory }) {
      prompts.push(prompt);
      await rm(join(directory, ".github"), { recursive: true });
      await writeFile(join(directory, "notes.txt"), "done");
      return { outcome: "done", summary: "Done", usage: {} };
    },
  };

  await world.retry();

  expect(prompts).toHaveLength(2);
  expect(prompts[1]).toMatch(/Your change was refused[\s\S]*ci\.yml/);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test.each([
  ["in its words, which would be the text of the pull request", { summary: `Use ${TOKEN}`, file: "fine" }],
  ["in a file", { summary: "Done", file: `const token = "${TOKEN}"` }],
])("a secret %s leaves the machine in nothing", async (_where, { summary, file }) => {
  skipChecks(world.project.repoUrl);
  world.options.agent = {
    name: "leaking",
    async run({ directory }) {
      await writeFile(join(directory, "notes.txt"), `${file}\n`);
      return { outcome: "done", summary, usage: {} };
    },
  };

  const refused = await world.run("DEMO-1").catch((error: Error) => error.message);

  expect(refused).toMatch(/was stopped by a gate: this may not leave the machine\. Nothing was pushed/);
  expect(refused).not.toContain(TOKEN);
  expect(await world.branches()).toEqual(["main"]);
  expect(await world.pullRequests.list()).toEqual([]);
  const { comments, error } = {
    comments: await world.tasks.comments("DEMO-1"),
    ...(await world.tasks.get("DEMO-1")),
  };
  expect(JSON.stringify([comments, error])).not.toContain(TOKEN);
});
