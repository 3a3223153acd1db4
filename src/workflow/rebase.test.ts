import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commitTree, push, stageTree } from "./commit.ts";
import { git } from "./git.ts";
import { rebaseOntoBase } from "./rebase.ts";
import { openWorld, options, type World } from "./workspace/repository.fixture.ts";
import {
  inRunsOf,
  type PreparedWorkspace,
  releaseWorkspace,
  resumeBranch,
  startBranch,
} from "./workspace.ts";

const LINES = Array.from({ length: 30 }, (_, line) => `line ${line}`);

function linesWith(changes: Record<number, string>): string {
  return `${LINES.map((line, index) => changes[index] ?? line).join("\n")}\n`;
}

async function commitOf(workspace: PreparedWorkspace, files: Record<string, string>): Promise<string> {
  await startBranch(workspace, workspace.branch, options);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(workspace.checkout, name), content);
  const tree = (await stageTree(workspace, options)) ?? "";
  const commit = { tree, message: "Change it\n\nRobson-Task: T-1\n", branch: workspace.branch };
  return commitTree(workspace, commit, options);
}

async function openChanged(t: Parameters<typeof openWorld>[0]): Promise<{
  world: World;
  workspace: PreparedWorkspace;
  sha: string;
  branch: string;
  runs(...args: string[]): Promise<string>;
}> {
  const world = await openWorld(t, { "a.txt": linesWith({}), "b.txt": "b\n" });
  const workspace = await world.prepare();
  const sha = await commitOf(workspace, { "a.txt": linesWith({ 3: "of the agent" }), "new.txt": "new\n" });
  const runs = (...args: string[]) => git(args, inRunsOf(workspace, options));
  return { world, workspace, sha, branch: workspace.branch, runs };
}

test("a commit on a base that has not moved stays as it is", async (t) => {
  const { workspace, sha, branch } = await openChanged(t);

  expect(await rebaseOntoBase(workspace, { sha, branch }, options)).toEqual({ kind: "current", sha });
});

test("a commit is brought onto the base that moved on, with both changes in it, and is pushed", async (t) => {
  const { world, workspace, sha, branch, runs } = await openChanged(t);
  const baseSha = await world.server.commit({ "a.txt": linesWith({ 20: "of someone" }) });

  const result = await rebaseOntoBase(workspace, { sha, branch }, options);

  if (result.kind !== "rebased") throw new Error(result.kind);
  expect(result.workspace.baseSha).toBe(baseSha);
  await push(result.workspace, { branch, sha: result.sha }, options);
  const pushed = (...args: string[]) => world.server.git(...args).then((text) => text.trim());
  expect(await pushed("show", `${branch}:a.txt`)).toBe(
    linesWith({ 3: "of the agent", 20: "of someone" }).trim(),
  );
  expect(await pushed("rev-parse", `${branch}^`, `${branch}^{tree}`)).toBe(`${baseSha}\n${result.tree}`);
  expect(await pushed("log", "-1", "--format=%B", branch)).toBe("Change it\n\nRobson-Task: T-1");
  expect((await runs("rev-parse", `refs/robson/T-1/1/replaced/${sha.slice(0, 12)}`)).trim()).toBe(sha);
});

test("a second call after a crash gives the same commit, also when the base has no memory of it", async (t) => {
  const { world, workspace, sha, branch } = await openChanged(t);
  await world.server.commit({ "b.txt": "of someone\n" });
  const first = await rebaseOntoBase(workspace, { sha, branch }, options);
  await releaseWorkspace(workspace);

  const again = await rebaseOntoBase(await world.prepare(), { sha, branch }, options);

  expect(again).toMatchObject({ kind: "rebased", sha: "sha" in first && first.sha });
});

test("after a crash the checkout has the commit's files on the new base, not those that were saved on the former one", async (t) => {
  const { world, workspace, sha, branch } = await openChanged(t);
  await world.server.commit({ "b.txt": "of someone\n" });
  await rebaseOntoBase(workspace, { sha, branch }, options);
  await releaseWorkspace(workspace);

  const again = await world.prepare();

  expect(await resumeBranch(again, branch, options)).toBe("restored");
  expect(readFileSync(join(again.checkout, "b.txt"), "utf8")).toBe("of someone\n");
  expect(readFileSync(join(again.checkout, "new.txt"), "utf8")).toBe("new\n");
});

test("a base that was written anew takes the commit all the same", async (t) => {
  const { world, workspace, sha, branch } = await openChanged(t);
  const tree = (await world.server.git("rev-parse", "main^{tree}")).trim();
  const rewritten = (await world.server.git("commit-tree", tree, "-m", "All in one")).trim();
  await world.server.git("update-ref", "refs/heads/main", rewritten);

  const result = await rebaseOntoBase(workspace, { sha, branch }, options);

  expect(result).toMatchObject({ kind: "rebased", workspace: { baseSha: rewritten } });
});

test("several commits come over one by one", async (t) => {
  const { world, workspace, sha, branch, runs } = await openChanged(t);
  const second = await commitOf({ ...workspace, baseSha: sha }, { "b.txt": "b\nb\n" }).catch(() => undefined);
  const tree = (await runs("rev-parse", `${sha}^{tree}`)).trim();
  const top = second ?? (await runs("commit-tree", tree, "-p", sha, "-m", "Nothing more")).trim();
  await world.server.commit({ "c.txt": "of someone\n" });

  const result = await rebaseOntoBase(workspace, { sha: top, branch }, options);

  if (result.kind !== "rebased") throw new Error(result.kind);
  const range = `${result.workspace.baseSha}..${result.sha}`;
  expect((await runs("rev-list", "--count", range)).trim()).toBe("2");
});

test("a change that does not fit any more is reported with its files, kept, and does not stand before the next run", async (t) => {
  const { world, workspace, sha, branch, runs } = await openChanged(t);
  const baseSha = await world.server.commit({ "a.txt": linesWith({ 3: "of someone" }), "b.txt": null });

  const result = await rebaseOntoBase(workspace, { sha, branch }, options);

  expect(result).toEqual({
    kind: "conflicts",
    baseSha,
    files: ["a.txt"],
    report:
      "The branch main has moved on by 1 commit since the work began, and the change does not fit any more; changed on both sides: a.txt",
  });
  expect((await runs("rev-parse", `refs/robson/T-1/1/replaced/${sha.slice(0, 12)}`)).trim()).toBe(sha);
  await releaseWorkspace(workspace);
  const next = await world.prepare({ runId: "2" });
  expect(next).toMatchObject({ baseSha });
  expect(next.ownCommit).toBeUndefined();
});

test("a branch that is pushed is never rewritten", async (t) => {
  const { world, workspace, sha, branch } = await openChanged(t);
  await push(workspace, { branch, sha }, options);
  await world.server.commit({ "b.txt": "of someone\n" });

  expect(await rebaseOntoBase(workspace, { sha, branch }, options)).toEqual({ kind: "current", sha });
});

test("a program that the project's attributes name for merging is not run", async (t) => {
  const world = await openWorld(t, { "a.txt": linesWith({}), ".gitattributes": "* merge=evil\n" });
  const workspace = await world.prepare();
  const sha = await commitOf(workspace, { "a.txt": linesWith({ 3: "of the agent" }) });
  await git(["config", "merge.evil.driver", "touch pwned"], { ...options, directory: workspace.checkout });
  await world.server.commit({ "a.txt": linesWith({ 20: "of someone" }) });

  const result = await rebaseOntoBase(workspace, { sha, branch: workspace.branch }, options);

  expect(result.kind).toBe("rebased");
});
