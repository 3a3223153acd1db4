import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { commitTree, push, stageTree } from "./commit.ts";
import { askGit, git } from "./git.ts";
import { openWorld, options, type World } from "./workspace/repository.fixture.ts";
import {
  inRunsOf,
  type PreparedWorkspace,
  releaseWorkspace,
  removeWorkspace,
  resumeBranch,
  saveWork,
  startBranch,
} from "./workspace.ts";

/** A checkout of a run in which a file has changed. */
async function changed(world: World, more: Parameters<World["prepare"]>[0] = {}): Promise<PreparedWorkspace> {
  const workspace = await world.prepare(more);
  await startBranch(workspace, workspace.branch, options);
  writeFileSync(join(workspace.checkout, "a.txt"), "changed\n");
  return workspace;
}

function fileIn(workspace: PreparedWorkspace, name = "a.txt"): string {
  return readFileSync(join(workspace.checkout, name), "utf8");
}

/** What git's way of naming things leads to in the repository of runs. */
function runs(workspace: PreparedWorkspace, ...args: string[]): Promise<string> {
  return git(args, { ...inRunsOf(workspace, options), directory: workspace.places.folder });
}

/** The agent's own git, as the agent starts it. */
function agentsGit({ checkout }: PreparedWorkspace, ...args: string[]): Promise<string> {
  return git(args, { ...options, directory: checkout });
}

test("the agent's git shows the base's history, the run's branch and what is not committed, and commits", async (t) => {
  const world = await openWorld(t);
  await world.server.git("tag", "v1", "main");
  const workspace = await changed(world);

  expect((await agentsGit(workspace, "status", "--short", "--branch")).trim()).toBe(
    "## robson/T-1\n M a.txt",
  );
  expect((await agentsGit(workspace, "describe", "--tags")).trim()).toBe("v1");
  await agentsGit(workspace, "commit", "--all", "--quiet", "-m", "Mine");
  expect((await agentsGit(workspace, "rev-list", "--count", "origin/main..HEAD")).trim()).toBe("1");
});

test("what the agent commits and stages is written into its own git, not into Robson's", async (t) => {
  const workspace = await changed(await openWorld(t));
  await agentsGit(workspace, "commit", "--all", "--quiet", "-m", "Mine");
  const sha = (await agentsGit(workspace, "rev-parse", "HEAD")).trim();

  const { mirror, runs: repository } = workspace.places;
  for (const each of [mirror, repository]) {
    expect(await askGit(["cat-file", "-e", sha], { ...options, directory: each, repository: each })).toBe(
      undefined,
    );
  }
});

test("an agent cannot read what other runs of the repository have made", async (t) => {
  const world = await openWorld(t);
  const other = await changed(world, { key: "T-2", branch: "robson/T-2" });
  const saved = await saveWork(other, options);
  const workspace = await changed(world);

  expect(saved?.ref).toBe("refs/robson/T-2/1/work");
  const seen = await agentsGit(workspace, "cat-file", "--batch-all-objects", "--batch-check");
  expect(seen).toContain(world.server.sha);
  expect(seen).not.toContain(saved?.sha);
});

test("a second run fetches only what is new, and starts from the base as it is then", async (t) => {
  const world = await openWorld(t);
  await removeWorkspace(await changed(world), options);
  const sha = await world.server.commit({ "new.txt": "new\n" });

  const workspace = await world.prepare({ runId: "2" });
  await startBranch(workspace, workspace.branch, options);

  expect(workspace.baseSha).toBe(sha);
  expect(fileIn(workspace, "new.txt")).toBe("new\n");
  expect(readdirSync(join(world.workDirectory, "repositories")).sort()).toHaveLength(2);
});

test("the same run finds its checkout as it left it, on the base it started from", async (t) => {
  const world = await openWorld(t);
  const first = await changed(world);
  await releaseWorkspace(first);
  await world.server.commit({ "new.txt": "new\n" });

  const again = await world.prepare();

  expect(again.baseSha).toBe(first.baseSha);
  expect(await resumeBranch(again, again.branch, options)).toBe("kept");
  expect(fileIn(again)).toBe("changed\n");
});

test("another run starts anew, and what the former one left is kept under that one's name", async (t) => {
  const world = await openWorld(t);
  await releaseWorkspace(await changed(world));

  const workspace = await world.prepare({ runId: "2" });
  expect(await resumeBranch(workspace, workspace.branch, options)).toBe("new");

  expect(fileIn(workspace)).toBe("1\n2\n3\n");
  expect(await runs(workspace, "show", "refs/robson/T-1/1/work:a.txt")).toBe("changed\n");
});

test("a checkout that was removed while its run waited is restored as changes that are not committed, on the base it had", async (t) => {
  const world = await openWorld(t);
  const first = await changed(world);
  writeFileSync(join(first.checkout, "new.txt"), "new\n");
  await removeWorkspace(first, options);
  await world.server.commit({ "src/b.txt": "of someone\n" });

  const again = await world.prepare();

  expect(await resumeBranch(again, again.branch, options)).toBe("restored");
  expect(fileIn(again)).toBe("changed\n");
  expect(await agentsGit(again, "status", "--short")).toBe(" M a.txt\n?? new.txt\n");
  expect(again.baseSha).toBe(first.baseSha);
});

test("a checkout without a record is saved before it goes", async (t) => {
  const world = await openWorld(t);
  const first = await changed(world);
  await releaseWorkspace(first);
  writeFileSync(first.places.record, "{ half");

  const again = await world.prepare();

  expect(await runs(again, "show", "refs/robson/T-1/unknown/work:a.txt")).toBe("changed\n");
});

test("saving is done once for the same files, and keeps what was saved before", async (t) => {
  const workspace = await changed(await openWorld(t));
  const first = await saveWork(workspace, options);
  expect(await saveWork(workspace, options)).toEqual(first);

  writeFileSync(join(workspace.checkout, "a.txt"), "changed again\n");
  const second = await saveWork(workspace, options);

  expect((await runs(workspace, "rev-parse", `${second?.ref}^2`)).trim()).toBe(first?.sha);
});

test("a checkout as the base has it leaves nothing to save", async (t) => {
  const world = await openWorld(t);
  const workspace = await world.prepare();
  await startBranch(workspace, workspace.branch, options);

  expect(await saveWork(workspace, options)).toBeUndefined();
});

test("the files of repositories that the agent made in the checkout are saved, and what cannot be read keeps nothing else from it", async (t) => {
  const workspace = await changed(await openWorld(t));
  const made = join(workspace.checkout, "made");
  mkdirSync(join(made, "inner"), { recursive: true });
  for (const directory of [made, join(made, "inner")]) {
    await git(["init", "--quiet"], { ...options, directory });
    writeFileSync(join(directory, "file"), "inside\n");
  }
  await git(["add", "file"], { ...options, directory: made });
  await git(["commit", "--quiet", "-m", "x"], { ...options, directory: made });

  await saveWork(workspace, options);

  const files = await runs(workspace, "ls-tree", "-r", "--name-only", "refs/robson/T-1/1/work");
  expect(files.split("\n")).toEqual(expect.arrayContaining(["a.txt", "made/file", "made/inner/file"]));
});

test("a workspace that a process works in is refused to others, and free when that is released", async (t) => {
  const world = await openWorld(t);
  const workspace = await world.prepare();

  await expect(world.prepare()).rejects.toMatchObject({ code: "WORKSPACE_IN_USE", retry: "later" });
  await releaseWorkspace(workspace);
  await world.prepare();
});

test("who has let a workspace go ends nothing there any more, however often he does", {
  timeout: 90_000,
}, async (t) => {
  const world = await openWorld(t);
  const first = await world.prepare();
  await releaseWorkspace(first);
  const second = await world.prepare();
  const program = spawn("sleep", ["600"], { env: second.environment, stdio: "ignore" });
  t.onTestFinished(() => void program.kill("SIGKILL"));
  const ended = once(program, "exit");
  await once(program, "spawn");

  await releaseWorkspace(first);
  await removeWorkspace(first, options);
  expect(program.exitCode ?? program.signalCode).toBeNull();
  expect(existsSync(second.root)).toBe(true);

  await releaseWorkspace(second);
  await ended;
});

test("tasks share a mirror side by side, each with its own branch and files", async (t) => {
  const world = await openWorld(t);
  const keys = ["T-1", "T-2", "T-3"];

  const all = await Promise.all(keys.map((key) => changed(world, { key, branch: `robson/${key}` })));

  expect(new Set(all.map(({ places }) => places.mirror)).size).toBe(1);
  expect(new Set(all.map(({ checkout }) => checkout)).size).toBe(3);
});

test("the default branch is the server's, and its change is noticed", async (t) => {
  const world = await openWorld(t);
  const before = await world.prepare();
  await releaseWorkspace(before);
  const sha = await world.server.commit({ "a.txt": "dev\n" }, "develop");
  await world.server.git("symbolic-ref", "HEAD", "refs/heads/develop");
  await world.server.git("update-ref", "-d", "refs/heads/main");

  const after = await world.prepare({ runId: "2" });

  expect(before).toMatchObject({ base: "main" });
  expect(after).toMatchObject({ base: "develop", baseSha: sha, formerDefaultBranch: "main" });
});

test("a run goes on after its base branch was renamed on the server", async (t) => {
  const world = await openWorld(t);
  const first = await changed(world);
  await removeWorkspace(first, options);
  await world.server.git("branch", "--move", "main", "trunk");

  const again = await world.prepare();

  expect(again).toMatchObject({ base: "main", baseSha: first.baseSha });
  expect(await resumeBranch(again, again.branch, options)).toBe("restored");
  expect(await agentsGit(again, "status", "--short", "--branch")).toContain("## robson/T-1");
});

test("lock files of a git that was killed keep nobody from going on", async (t) => {
  const world = await openWorld(t);
  const first = await changed(world);
  await saveWork(first, options);
  await releaseWorkspace(first);
  const { mirror, runs: repository, own } = first.places;
  const locked = [
    join(mirror, "HEAD"),
    join(mirror, "config"),
    join(mirror, "packed-refs"),
    join(mirror, "refs/heads/main"),
    join(repository, "packed-refs"),
    join(repository, "refs/heads/robson/T-1"),
    join(repository, "refs/robson/T-1/1/work"),
    join(own, "index"),
    join(own, "saving"),
  ];
  for (const file of locked) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.lock`, "");
  }
  await world.server.commit({ "a.txt": "moved on\n" });
  await world.server.git("branch", "--move", "main", "trunk");

  const again = await world.prepare();
  writeFileSync(join(again.checkout, "b.txt"), "more\n");
  await saveWork(again, options);
  const tree = (await stageTree(again, options)) ?? "";
  await commitTree(again, { tree, message: "Change\n", branch: again.branch }, options);

  expect(await runs(again, "show", "refs/robson/T-1/1/work:b.txt")).toBe("more\n");
});

test("a removed workspace leaves the commit and nothing else, and removing it again does nothing", async (t) => {
  const world = await openWorld(t);
  const workspace = await changed(world);
  const tree = (await stageTree(workspace, options)) ?? "";
  const sha = await commitTree(workspace, { tree, message: "Change\n", branch: workspace.branch }, options);
  await push(workspace, { branch: workspace.branch, sha }, options);

  await removeWorkspace(workspace, options);
  await removeWorkspace(workspace, options);

  expect(existsSync(workspace.root)).toBe(false);
  expect(existsSync(workspace.places.own)).toBe(false);
  expect((await world.server.git("rev-parse", workspace.branch)).trim()).toBe(sha);
  expect((await runs(workspace, "for-each-ref", "--format=%(refname)")).trim()).toBe("refs/heads/robson/T-1");
});

test("a partial mirror leaves files out until a checkout needs them", async (t) => {
  const world = await openWorld(t, { "a.txt": "old\n" });
  await world.server.commit({ "a.txt": "1\n2\n3\n" });
  const blob = (await world.server.git("rev-parse", "main^:a.txt")).trim();

  const workspace = await changed(world, { filter: "blob:none" });

  const objects = await git(["cat-file", "--batch-all-objects", "--batch-check"], {
    ...options,
    directory: workspace.places.mirror,
    repository: workspace.places.mirror,
  });
  expect(objects).not.toContain(blob);
  expect(await agentsGit(workspace, "diff", "--stat")).toContain("1 file changed");
  const tree = (await stageTree(workspace, options)) ?? "";
  const sha = await commitTree(workspace, { tree, message: "Change\n", branch: workspace.branch }, options);
  await push(workspace, { branch: workspace.branch, sha }, options);
  expect(await world.server.git("show", `${workspace.branch}:a.txt`)).toBe("changed\n");

  const whole = await world.prepare({ key: "T-2", branch: "robson/T-2" });
  expect(
    await askGit(["cat-file", "-e", blob], {
      ...options,
      directory: whole.root,
      repository: whole.places.mirror,
    }),
  ).toBe("");
});
