/**
 * A task over two repositories whose process is killed between them, within each, and while a person is being asked about
 * the second: one branch and one pull request in each, one comment, and the agent's finished turns are not taken again.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../src/testing/databases.ts";
import { openDemoWorkflow } from "../../src/testing/demo-workflow.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";

const PROGRAM = fileURLToPath(new URL("./two-repositories-process.ts", import.meta.url));

/** In the order of the run: before the question, and after its answer. */
const BEFORE_THE_QUESTION = [
  "origin: workspace: done",
  "origin: pull request: done",
  "origin: workspace removed: done",
  "origin 2: branch: begun",
  "origin 2: verify 1: done",
  "origin 2: gates 1: stored",
];
const AFTER_THE_ANSWER = [
  "origin 2: commit: done",
  "origin 2: push: done",
  "origin 2: workspace removed: stored",
  "comment robson:DEMO-2",
  "status 1: stored",
];

async function work({ directory, location }: { directory: string; location: string }, dieAt = "") {
  const args = ["--disable-warning=ExperimentalWarning", PROGRAM, directory, location, dieAt];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [, signal] = await once(child, "close");
  return signal ?? said;
}

/** All with ROBSON_CRASH_KILLS, else every second one: not the same on both databases. */
function some(points: string[], database: string): string[] {
  const first = database === "sqlite" ? 0 : 1;
  return process.env.ROBSON_CRASH_KILLS === undefined
    ? points.filter((_, index) => index % 2 === first)
    : points;
}

describe.each(databaseKinds)("on $name", ({ name, create }) => {
  test("a task over two repositories that is killed again and again has one result in each", {
    timeout: 300_000,
  }, async (t) => {
    const place = { directory: await temporaryFolder(t), location: await create(t) };
    for (const point of some(BEFORE_THE_QUESTION, name))
      expect([point, await work(place, point)]).toEqual([point, "SIGKILL"]);
    expect(await work(place)).toBe("waiting");
    const world = await openDemoWorkflow(place);
    t.onTestFinished(() => world.close());
    const [run] = await world.store.runs.runs({});
    const id = run?.conversationId ?? 0;
    // The first one is ready, and nothing of the second has left the machine.
    expect(await world.pullRequests.list()).toHaveLength(1);
    expect(await world.store.runs.answer(id, { value: "allow", by: "Ann", at: Date.now() })).toBe(true);

    for (const point of some(AFTER_THE_ANSWER, name))
      expect([point, await work(place, point)]).toEqual([point, "SIGKILL"]);
    expect(await work(place)).toBe("done");

    expect(await world.tasks.get("DEMO-2")).toMatchObject({
      status: "done",
      repositories: [
        { status: "done", prUrl: "robson://pull/1" },
        { status: "done", prUrl: "robson://pull/2" },
      ],
    });
    expect(await world.pullRequests.list()).toHaveLength(2);
    expect(await world.tasks.comments("DEMO-2")).toHaveLength(1);
    expect(await world.branches()).toHaveLength(2);
    const events = await world.store.events(id);
    expect(events.filter(({ kind }) => kind === "completed" || kind === "failed")).toHaveLength(1);
    expect(
      events.filter(({ content }) => content.includes("before its pull request is opened")),
    ).toHaveLength(1);
    const { steps = [] } = (await world.store.runs.run(id)) ?? {};
    const turns = steps.filter(({ name }) => name.includes("agent"));
    expect(turns.map(({ name, attempts }) => [name, attempts])).toEqual([
      ["origin: agent 1", 1],
      ["origin 2: agent 1", 1],
    ]);
    expect(readdirSync(join(world.options.workDirectory, "DEMO-2"))).toEqual([]);
  });
});
