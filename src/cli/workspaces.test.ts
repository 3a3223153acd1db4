import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openWorld, options } from "../workflow/workspace/repository.fixture.ts";
import { releaseWorkspace, startBranch } from "../workflow/workspace.ts";
import { aFolder, robson } from "./robson-process.fixture.ts";

test("what lies in the work directory is listed, removed after saving, and refused while a process is at it", async (t) => {
  const world = await openWorld(t);
  const cwd = aFolder();
  writeFileSync(join(cwd, "robson.toml"), `[workflow]\nwork_dir = ${JSON.stringify(world.workDirectory)}\n`);
  const workspace = await world.prepare();
  await startBranch(workspace, workspace.branch, options);
  writeFileSync(join(workspace.checkout, "a.txt"), "changed\n");

  const listed = await robson(cwd, "workspaces", "list");
  const refused = await robson(cwd, "workspaces", "clean", "T-1");
  await releaseWorkspace(workspace);
  const young = await robson(cwd, "workspaces", "clean");
  const cleaned = await robson(cwd, "workspaces", "clean", "T-1");
  const json = await robson(cwd, "workspaces", "list", "--json");

  expect(listed.stdout).toContain(world.server.url);
  expect(listed.stdout).toMatch(/^ {2}T-1 {2}robson\/T-1 {2}live {2}.* with a checkout$/m);
  expect(refused.stderr).toContain("Cannot remove the workspace of T-1");
  expect(refused.exitCode).toBe(1);
  expect(young.stdout).toBe("");
  expect(cleaned.stdout).toContain("its files are saved under refs/robson/T-1/1/work\n");
  expect(JSON.parse(json.stdout)).toMatchObject({
    repoUrl: world.server.url,
    workspaces: [],
    saved: [{ ref: "refs/robson/T-1/1/work" }],
  });
}, 180_000);

test("an empty work directory is said to be empty, and tasks are not named beside --all", async () => {
  const cwd = aFolder();
  mkdirSync(join(cwd, "robson-work"));

  const listed = await robson(cwd, "workspaces", "list");
  const both = await robson(cwd, "workspaces", "clean", "T-1", "--all");

  expect(listed).toMatchObject({ stdout: "", stderr: "There are no workspaces\n", exitCode: 0 });
  expect(both).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("without both") });
}, 180_000);
