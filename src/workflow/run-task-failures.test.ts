import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { scriptedAgent } from "./agents/scripted/index.ts";
import { createDemoProject } from "./demo-project.ts";
import { endLeftovers } from "./leftovers.ts";
import { createTask } from "./task.ts";
import { workspacePlaces } from "./workspace/places.ts";

const FIX = { file: "total.js", find: "let index = 1;", replace: "let index = 0;" };

let world: DemoWorkflow;

beforeEach(async () => {
  world = await openDemoWorkflow({ limits: { killGraceMs: 200 } });
});
afterEach(() => world.close());

/** Nothing may have left the machine, and the task says why. */
async function expectNothingPublished(error: string) {
  expect(await world.branches()).toEqual(["main"]);
  expect(await world.pullRequests.list()).toEqual([]);
  expect(await world.tasks.comments("DEMO-1")).toEqual([]);
  const failed = { status: "failed", error: expect.stringContaining(error) };
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ ...failed, repositories: [failed] });
}

test("an agent that claims success but changed no file has failed", async () => {
  world.script([{ say: "All done!" }]);

  await expect(world.run("DEMO-1")).rejects.toThrow("changed no file");

  await expectNothingPublished("changed no file");
});

test("an agent that exits with 0 but gave no result has failed, whatever it changed", async () => {
  world.script([FIX, { exit: 0 }]);

  await expect(world.run("DEMO-1")).rejects.toThrow();

  await expectNothingPublished("ended without a result (exit code 0)");
});

test("an agent that says that it could not do it is believed", async () => {
  world.script([FIX, { file: "total.js", find: "not in there", replace: "" }]);

  await expect(world.run("DEMO-1")).rejects.toThrow();

  await expectNothingPublished("it says: total.js does not contain");
});

test("an agent cannot edit files outside of the checkout by its script", async () => {
  world.script([{ file: "../outside.txt", content: "x" }]);

  await expect(world.run("DEMO-1")).rejects.toThrow();

  await expectNothingPublished("lies outside the checkout");
});

test("a change that does not pass the project's tests is not pushed, and the answer shows the output", async () => {
  world.script([{ file: "total.js", find: "let index = 1;", replace: "let index = 2;" }]);

  await expect(world.run("DEMO-1")).rejects.toThrow("every line of a bill counts");

  await expectNothingPublished("`npm test`: it ended with 1");
});

test("output that no database could carry is kept with the task all the same", async () => {
  const noise = 'process.stdout.write("a\\0b\\u{D83E}"); process.exit(1)';
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["node", "-e", noise]] }];

  await expect(world.run("DEMO-1")).rejects.toThrow();

  await expectNothingPublished("a\\u{0}b\u{FFFD}");
});

test("a task that has failed succeeds when it is run again after the repair", async () => {
  world.script([{ say: "nothing" }]);
  await expect(world.run("DEMO-1")).rejects.toThrow();
  world.script([FIX]);

  await world.run("DEMO-1");

  const task = await world.tasks.get("DEMO-1");
  expect(task).toMatchObject({ status: "done", repositories: [{ status: "done" }] });
  expect(task.error).toBeUndefined();
});

test("a verification program that is not there is named", async () => {
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["no-such-program", "x"]] }];

  await expect(world.run("DEMO-1")).rejects.toThrow();

  await expectNothingPublished('"no-such-program" cannot be started');
});

test("an agent over its time is ended, and the limit is named", async () => {
  await world.close();
  world = await openDemoWorkflow({ limits: { agentTimeoutMs: 500, killGraceMs: 200 } });
  world.script([{ run: ["sleep", "600"] }]);

  await expect(world.run("DEMO-1")).rejects.toThrow();

  await expectNothingPublished("agentTimeoutMs (500 ms)");
});

test("a stop ends the agent and what it started, even what ignores SIGTERM, and the task is unfinished", async () => {
  const ready = join(world.directory, "ready");
  const stubborn = `process.on("SIGTERM", () => {}); fs.writeFileSync(${JSON.stringify(ready)}, "x"); setInterval(() => {}, 1000)`;
  world.script([FIX, { run: [process.execPath, "-e", stubborn] }]);
  const controller = new AbortController();
  const run = world.run("DEMO-1", { signal: controller.signal });
  await Promise.race([run, expect.poll(() => existsSync(ready), { timeout: 60_000 }).toBe(true)]);

  controller.abort(new Error("stopping"));
  await expect(run).rejects.toThrow("Stopped by the test. What is done is kept");

  const [folder] = readdirSync(join(world.options.workDirectory, "DEMO-1"));
  expect(await endLeftovers(join(world.options.workDirectory, "DEMO-1", folder ?? ""))).toBe(0);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({
    status: "unfinished",
    repositories: [{ status: "unfinished" }],
  });
  expect(await world.branches()).toEqual(["main"]);
});

test("a branch of that name that is not Robson's is left alone", async () => {
  const branch = "robson/DEMO-1-the-first-line-of-a-bill-is-not-counted";
  const tree = (await world.git("rev-parse", "main^{tree}")).trim();
  const theirs = (await world.git("commit-tree", tree, "-p", "main", "-m", "Mine")).trim();
  await world.git("update-ref", `refs/heads/${branch}`, theirs);

  await expect(world.run("DEMO-1")).rejects.toThrow();

  expect((await world.git("rev-parse", branch)).trim()).toBe(theirs);
});

test("a task that is not there, and one without a repository, are refused for good", async () => {
  await expect(world.run("NO-1")).rejects.toThrow();

  await world.create({ key: "DEMO-2", summary: "No repository" });
  await expect(world.run("DEMO-2")).rejects.toThrow();
});

test("a repository that is not there is refused for good, an empty one too", async () => {
  await world.create({ key: "DEMO-2", summary: "Gone", repoUrls: [`file://${world.directory}/gone.git`] });
  await expect(world.run("DEMO-2")).rejects.toThrow();

  await world.git("init", "--quiet", "--bare", join(world.directory, "empty.git"));
  await world.create({ key: "DEMO-3", summary: "Empty", repoUrls: [`file://${world.directory}/empty.git`] });
  await expect(world.run("DEMO-3")).rejects.toThrow();
});

test("a repository that says no to the push leaves a commit that the next run pushes", async () => {
  const hook = join(world.project.origin, "hooks", "pre-receive");
  writeFileSync(hook, "#!/bin/sh\necho 'closed for lunch' >&2\nexit 1\n", { mode: 0o755 });
  await expect(world.run("DEMO-1")).rejects.toThrow("closed for lunch");
  await expectNothingPublished("closed for lunch");
  writeFileSync(hook, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  world.script([{ exit: 3 }]);

  await world.run("DEMO-1");

  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("of a task's three repositories, one that fails leaves the others' pull requests and an unfinished task", async () => {
  const empty = `file://${world.directory}/empty.git`;
  await world.git("init", "--quiet", "--bare", join(world.directory, "empty.git"));
  const signal = new AbortController().signal;
  const second = await createDemoProject(join(world.directory, "second"), { signal });
  const repoUrls = [world.project.repoUrl, empty, second.repoUrl];
  await world.create({ key: "DEMO-2", summary: "All three", repoUrls });

  await expect(world.run("DEMO-2")).rejects.toThrow(
    /unfinished: 2 of 3 repositories are ready for review\n\nPull request: robson:\/\/pull\/1[\s\S]*robson:\/\/pull\/2[\s\S]*no default branch with a commit/,
  );

  expect(await world.pullRequests.list()).toHaveLength(2);
  expect(await world.tasks.get("DEMO-2")).toMatchObject({
    status: "unfinished",
    repositories: [
      { status: "done", prUrl: "robson://pull/1" },
      { status: "failed", error: expect.stringContaining("no default branch") },
      { status: "done", prUrl: "robson://pull/2" },
    ],
  });
  expect((await world.tasks.comments("DEMO-2"))[0]?.body).toMatch(/pull\/1[\s\S]*pull\/2/);
});

test("a workspace that another process works in is waited for, however few attempts there are", async () => {
  world.options.limits = { maxLockWaitMs: 5000 };
  const places = workspacePlaces(world.options.workDirectory, { key: "DEMO-1", ...world.project });
  await mkdir(places.own, { recursive: true });
  const taken = world.options.tryLock(places.live);
  let tries = 0;
  const probe = (point: string) => {
    if (point === "origin: workspace: begun") tries += 1;
    if (tries === 3) taken?.release();
  };

  const { texts } = await world.run("DEMO-1", { probe, maxAttempts: 1 });

  expect(tries).toBe(3);
  expect(texts.filter((text) => text.includes("Waiting"))).toEqual([
    expect.stringContaining("a process is at it already"),
  ]);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("a work directory in which there is no room for too long ends the run", async () => {
  world.options.limits = { maxLockWaitMs: 100 };
  let tries = 0;
  const probe = (point: string) => {
    if (point !== "origin: workspace: begun") return;
    tries += 1;
    throw new WorkerError("It is full", { code: "WORKSPACES_FULL", retry: "later", hint: "End runs" });
  };

  await expect(world.run("DEMO-1", { probe, maxAttempts: 1 })).rejects.toThrow("It is full");

  // Ten waits between them.
  expect(tries).toBe(11);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "failed" });
});

test("an agent that lacks its script is refused before anything is cloned, and the setting is named", async () => {
  const missing = join(world.directory, "no-such-script.json");
  const broken = join(world.directory, "broken.json");
  writeFileSync(broken, "[{}]");

  for (const scriptFile of [undefined, missing, broken]) {
    world.options.agent = scriptedAgent({ scriptFile });
    await expect(world.run("DEMO-1")).rejects.toThrow(/no script|no-such-script.json|Step 1 of the script/);
  }

  expect(existsSync(world.options.workDirectory)).toBe(false);
});

test("a host whose name leads to a private address is not connected to", async () => {
  await createTask(world.tasks, {
    key: "DEMO-2",
    summary: "Inside",
    repoUrls: ["https://inside.example/a.git"],
  });
  world.options.lookup = async () => [{ address: "169.254.169.254", family: 4 }];

  await expect(world.run("DEMO-2")).rejects.toThrow();

  expect(existsSync(world.options.workDirectory)).toBe(false);
});
