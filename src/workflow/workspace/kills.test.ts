import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, type TestContext, test } from "vitest";
import { git } from "../git.ts";
import { releaseWorkspace, startBranch } from "../workspace.ts";
import { openWorld, options, type World } from "./repository.fixture.ts";
import { type RunRequest, wholeRun } from "./whole-run.fixture.ts";

const PROGRAM = fileURLToPath(new URL("whole-run.fixture.ts", import.meta.url));

/** Every point is tried by ROBSON_KILL_POINTS=all, one in so many otherwise. */
const EVERY = process.env.ROBSON_KILL_POINTS === "all" ? 1 : 13;

/** The program as one process; how many points it passed, or undefined when it ended itself at its point. */
async function runProgram(request: RunRequest, point: number): Promise<number | undefined> {
  const args = ["--disable-warning=ExperimentalWarning", PROGRAM, JSON.stringify(request), String(point)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [printed] = await Promise.all([text(child.stdout), once(child, "close")]);
  if (child.signalCode === "SIGKILL") return undefined;
  expect(child.exitCode).toBe(0);
  return Number(printed);
}

/** A run in a world in which its base is going to move on while it works. */
async function openRun(t: TestContext) {
  const world = await openWorld(t);
  const sha = await world.server.commit({ "src/b.txt": "of someone\n" });
  await world.server.git("update-ref", "refs/heads/main", world.server.sha);
  const { tryLock: _, ...request } = world.request;
  const run: RunRequest = { ...request, moved: { repository: world.server.directory, sha } };
  return { ...world, run };
}

/** One in which another run of the same task has left a file that nobody has saved. */
async function runWithLeftovers(t: TestContext) {
  const world = await openRun(t);
  const former = await world.prepare({ runId: "0" });
  await startBranch(former, former.branch, options);
  writeFileSync(join(former.checkout, "left.txt"), "of run 0\n");
  await releaseWorkspace(former);
  return world;
}

async function expectTheEndOfOneRun(world: World, sha: string): Promise<void> {
  const [repository] = readdirSync(join(world.workDirectory, "repositories")).filter(
    (name) => !name.endsWith(".lock"),
  );
  const folder = join(world.workDirectory, "repositories", repository ?? "");
  const runs = { ...options, directory: folder, repository: join(folder, "runs.git") };

  expect((await world.server.git("rev-parse", "robson/T-1")).trim()).toBe(sha);
  expect((await world.server.git("rev-list", "--count", "main..robson/T-1")).trim()).toBe("1");
  expect(await world.server.git("show", "robson/T-1:a.txt")).toBe("changed\n");
  expect(await world.server.git("diff", "--name-only", "main", "robson/T-1")).toBe("a.txt\n");
  expect(await world.server.git("show", "main:src/b.txt")).toBe("of someone\n");
  expect(await git(["show", "refs/robson/T-1/0/work:left.txt"], runs)).toBe("of run 0\n");
  expect(readdirSync(folder).sort()).toEqual(["mirror.git", "runs.git", "used", "workspaces"]);
  expect(readdirSync(join(folder, "workspaces"))).toEqual([]);
  expect(readdirSync(join(world.workDirectory, "T-1"))).toEqual([]);
  for (const repository of ["mirror.git", "runs.git"]) {
    const names = readdirSync(join(folder, repository), { recursive: true }).map(String);
    expect(names.filter((name) => name.endsWith(".lock"))).toEqual([]);
  }
}

test("a run that is killed at any point is finished by the next process, with one of everything and nothing lost", {
  timeout: 600_000,
}, async (t) => {
  const points = (await runProgram((await runWithLeftovers(t)).run, 0)) ?? 0;
  expect(points).toBeGreaterThan(50);

  for (let point = 1 + (points % EVERY); point <= points; point += EVERY) {
    const world = await runWithLeftovers(t);
    expect(await runProgram(world.run, point), `point ${point} of ${points}`).toBeUndefined();

    const sha = await wholeRun(world.run);

    await expectTheEndOfOneRun(world, sha);
  }
});

test("a run that is killed again and again, later each time, is finished in the end", {
  timeout: 300_000,
}, async (t) => {
  const world = await runWithLeftovers(t);
  for (const point of [3, 12, 25, 40, 50]) await runProgram(world.run, point);

  await expectTheEndOfOneRun(world, await wholeRun(world.run));
});

test("processes that begin at once on a repository share one mirror, and each ends with its own push", {
  timeout: 300_000,
}, async (t) => {
  const world = await openRun(t);
  const keys = ["T-1", "T-2", "T-3"];

  const ends = await Promise.all(
    keys.map((key) => runProgram({ ...world.run, key, branch: `robson/${key}` }, 0)),
  );

  expect(ends).not.toContain(undefined);
  const branches = await world.server.git("for-each-ref", "--format=%(refname:short)", "refs/heads");
  expect(branches.trim().split("\n")).toEqual(["main", ...keys.map((key) => `robson/${key}`)]);
  const folders = readdirSync(join(world.workDirectory, "repositories"), { withFileTypes: true });
  expect(folders.filter((entry) => entry.isDirectory())).toHaveLength(1);
});
