import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { askGit } from "../git.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../limits.ts";
import { releaseWorkspace, removeWorkspace, resumeBranch, startBranch } from "../workspace.ts";
import { cleanWorkArea, ensureRoom } from "./clean.ts";
import { listWorkArea } from "./inventory.ts";
import { openWorld, options, type World } from "./repository.fixture.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

function limited(limits: Partial<WorkflowLimits>) {
  return { ...options, limits: { ...DEFAULT_WORKFLOW_LIMITS, ...limits } };
}

/** A workspace with a changed file of so many kilobytes, which nobody has saved. */
async function changed(world: World, { key, kilobytes = 1 }: { key: string; kilobytes?: number }) {
  const workspace = await world.prepare({ key, branch: `robson/${key}` });
  await startBranch(workspace, workspace.branch, options);
  writeFileSync(join(workspace.checkout, "a.txt"), "x".repeat(kilobytes * 1024));
  return workspace;
}

async function saved(world: World, ref: string): Promise<string | undefined> {
  const [repository] = await listWorkArea(world.area, options);
  const runs = repository?.places.runs ?? "";
  return askGit(["show", `${ref}:a.txt`], { ...options, directory: world.folder, repository: runs });
}

test("the list says what lies there: whose it is, whether a process is at it, how large, and what is saved where", async (t) => {
  const world = await openWorld(t);
  const gone = await changed(world, { key: "T-1" });
  await removeWorkspace(gone, options);
  await releaseWorkspace(await changed(world, { key: "T-2", kilobytes: 2000 }));
  await changed(world, { key: "T-3" });

  const [repository, ...others] = await listWorkArea(world.area, options);

  expect(others).toEqual([]);
  expect(repository).toMatchObject({ repoUrl: world.server.url, saved: [{ ref: "refs/robson/T-1/1/work" }] });
  expect(repository?.workspaces).toMatchObject([
    { key: "T-2", runId: "1", branch: "robson/T-2", state: "idle", hasCheckout: true, saved: [] },
    { key: "T-3", state: "live", hasCheckout: true },
  ]);
  expect(repository?.workspaces[0]?.bytes).toBeGreaterThan(2_000_000);
});

test("an empty or missing work directory has nothing to list and nothing to clean", async (t) => {
  const { area } = await openWorld(t);

  expect(await listWorkArea(area, options)).toEqual([]);
  expect(await cleanWorkArea({ ...area, now: Date.now() }, options)).toMatchObject({ removed: [], bytes: 0 });
});

test("what is too old goes, saved before; what is young or in use stays", async (t) => {
  const world = await openWorld(t);
  await releaseWorkspace(await changed(world, { key: "T-1" }));
  await changed(world, { key: "T-2" });
  const clean = (now: number) => cleanWorkArea({ ...world.area, now }, limited({ maxWorkspaceDays: 3 }));

  expect((await clean(Date.now() + 2 * DAY_MS)).removed).toEqual([]);
  const report = await clean(Date.now() + 4 * DAY_MS);

  expect(report.removed).toMatchObject([
    { workspace: { key: "T-1" }, saved: { ref: "refs/robson/T-1/1/work" } },
  ]);
  expect(await saved(world, "refs/robson/T-1/1/work")).toBe("x".repeat(1024));
  expect(readdirSync(join(world.workDirectory, "T-1"))).toEqual([]);
  expect(readdirSync(join(world.workDirectory, "T-2"))).toHaveLength(1);
});

test("the workspace of a named task goes at once, and its run goes on with what was saved", async (t) => {
  const world = await openWorld(t);
  await releaseWorkspace(await changed(world, { key: "T-1" }));

  await cleanWorkArea({ ...world.area, now: Date.now(), keys: ["T-1"] }, options);

  const again = await world.prepare();
  expect(await resumeBranch(again, again.branch, options)).toBe("restored");
});

test("a named task that a process works on is refused, with nothing removed, and so is an unknown one", async (t) => {
  const world = await openWorld(t);
  await changed(world, { key: "T-1" });
  await releaseWorkspace(await changed(world, { key: "T-2" }));
  const clean = (...keys: string[]) => cleanWorkArea({ ...world.area, now: Date.now(), keys }, options);

  await expect(clean("T-2", "T-1")).rejects.toMatchObject({ code: "WORKSPACE_IN_USE" });
  await expect(clean("T-9")).rejects.toMatchObject({
    code: "NOT_FOUND",
    hint: expect.stringContaining("workspaces list"),
  });
  expect((await listWorkArea(world.area, options))[0]?.workspaces).toHaveLength(2);
});

test("over the limit of size the workspaces that were used longest ago go first, until there is room", async (t) => {
  const world = await openWorld(t);
  for (const key of ["T-1", "T-2"]) await releaseWorkspace(await changed(world, { key, kilobytes: 1500 }));

  const { removed } = await cleanWorkArea(
    { ...world.area, now: Date.now() },
    limited({ maxWorkMegabytes: 3 }),
  );

  expect(removed.map(({ workspace }) => workspace.key)).toEqual(["T-1"]);
});

test("a run begins when there is room or room can be made, and is refused by the limit's name otherwise", async (t) => {
  const world = await openWorld(t);
  await releaseWorkspace(await changed(world, { key: "T-1", kilobytes: 3000 }));
  const begin = () => ensureRoom({ ...world.area, now: Date.now() }, limited({ maxWorkMegabytes: 2 }));

  await begin();
  expect((await listWorkArea(world.area, options))[0]?.workspaces).toEqual([]);
  await changed(world, { key: "T-2", kilobytes: 3000 });

  await expect(begin()).rejects.toMatchObject({
    code: "WORKSPACES_FULL",
    retry: "later",
    message: expect.stringContaining("maxWorkMegabytes is 2"),
  });
});

test("a workspace that a waiting run may want again stays, unless it is named", async (t) => {
  const world = await openWorld(t);
  await releaseWorkspace(await changed(world, { key: "T-1" }));
  const request = { ...world.area, now: Date.now() + 100 * DAY_MS, isWanted: () => true };

  expect((await cleanWorkArea(request, options)).removed).toEqual([]);
  expect((await cleanWorkArea({ ...request, keys: ["T-1"] }, options)).removed).toHaveLength(1);
});

test("saved work is forgotten when it is old and its task has no workspace, and then the mirror goes too", async (t) => {
  const world = await openWorld(t);
  await removeWorkspace(await changed(world, { key: "T-1" }), options);
  const clean = (days: number) =>
    cleanWorkArea({ ...world.area, now: Date.now() + days * DAY_MS }, limited({ maxSavedDays: 30 }));

  expect(await clean(29)).toMatchObject({ forgotten: [], mirrors: [] });
  expect(await clean(31)).toMatchObject({
    forgotten: [{ ref: "refs/robson/T-1/1/work" }],
    mirrors: [world.server.url],
  });

  expect(await listWorkArea(world.area, options)).toEqual([]);
  const again = await world.prepare({ runId: "2" });
  expect(existsSync(again.places.mirror)).toBe(true);
});
