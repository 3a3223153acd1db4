import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";
import { stageTree } from "../commit.ts";
import { git } from "../git.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "../limits.ts";
import { prepareWorkspace, saveWork, startBranch, type WorkspaceRequest } from "../workspace.ts";
import { type Files, openServer, openWorld, options } from "./repository.fixture.ts";

function gitmodules(modules: Record<string, string>): string {
  return Object.entries(modules)
    .map(([path, url]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`)
    .join("");
}

/** A project with a submodule `libs/inner` that has one of its own, `deep`. */
async function openNested(t: TestContext) {
  const world = await openWorld(t);
  const deep = await openServer(world.folder, { name: "deep", first: { "deep.txt": "deep\n" } });
  const files: Files = {
    "inner.txt": "inner\n",
    ".gitmodules": gitmodules({ deep: "../deep.git" }),
    deep: { commit: deep.sha },
  };
  const inner = await openServer(world.folder, { name: "inner", first: files });
  await world.server.commit({
    ".gitmodules": gitmodules({ "libs/inner": "../inner.git" }),
    "libs/inner": { commit: inner.sha },
  });
  const checkedOut = async (more: Partial<WorkspaceRequest> = {}) => {
    const workspace = await world.prepare(more);
    await startBranch(workspace, workspace.branch, options);
    return workspace;
  };
  return { ...world, inner, deep, checkedOut };
}

test("submodules and theirs are in the checkout, and a change beside them is staged without them", async (t) => {
  const world = await openNested(t);
  const { checkout, ...workspace } = await world.checkedOut();

  expect(readFileSync(join(checkout, "libs/inner/inner.txt"), "utf8")).toBe("inner\n");
  expect(readFileSync(join(checkout, "libs/inner/deep/deep.txt"), "utf8")).toBe("deep\n");
  expect(await git(["status", "--short"], { ...options, directory: checkout })).toBe("");
  writeFileSync(join(checkout, "a.txt"), "changed\n");
  expect(await stageTree({ ...workspace, checkout }, options)).toMatch(/^[0-9a-f]{40}$/);
});

test("a commit that no branch of the submodule shows any more is fetched by its name", async (t) => {
  const world = await openNested(t);
  await world.inner.commit({ "inner.txt": "newer\n" });
  await world.inner.git(
    "update-ref",
    "refs/heads/main",
    (await world.inner.git("commit-tree", "main^{tree}", "-m", "x")).trim(),
  );

  const { checkout } = await world.checkedOut();

  expect(readFileSync(join(checkout, "libs/inner/inner.txt"), "utf8")).toBe("inner\n");
});

test.for<[string, (folder: string) => void, string]>([
  ["a changed file", (folder) => writeFileSync(join(folder, "inner.txt"), "changed\n"), "libs/inner"],
  ["a new file", (folder) => writeFileSync(join(folder, "new.txt"), "new\n"), "libs/inner"],
  ["a file that is gone", (folder) => rmSync(join(folder, "inner.txt")), "libs/inner"],
  [
    "a changed file further in",
    (folder) => writeFileSync(join(folder, "deep/deep.txt"), "x\n"),
    "libs/inner/deep",
  ],
])(
  "%s in a submodule is refused by its name: it would not be part of the commit",
  async ([, change, name], t) => {
    const world = await openNested(t);
    const workspace = await world.checkedOut();
    change(join(workspace.checkout, "libs/inner"));

    await expect(stageTree(workspace, options)).rejects.toMatchObject({
      code: "AGENT_FAILED",
      retry: "never",
      message: expect.stringContaining(`its submodules ${name} are changed`),
    });
  },
);

test("a submodule that became a link, or is gone, is a change of the project", async (t) => {
  const world = await openNested(t);
  const workspace = await world.checkedOut();
  const folder = join(workspace.checkout, "libs/inner");
  rmSync(folder, { recursive: true });
  symlinkSync("/", folder);

  expect(await stageTree(workspace, options)).toMatch(/^[0-9a-f]{40}$/);
});

test("the addresses and places of submodules are the base's: what a run has written there is not followed", async (t) => {
  const world = await openNested(t);
  const outside = join(world.folder, "outside/inner");
  mkdirSync(outside, { recursive: true });
  const workspace = await world.checkedOut();
  rmSync(join(workspace.checkout, "libs"), { recursive: true });
  symlinkSync(join(world.folder, "outside"), join(workspace.checkout, "libs"));
  writeFileSync(
    join(workspace.checkout, ".gitmodules"),
    gitmodules({ "libs/inner": "https://evil.test/secret" }),
  );
  const saved = await saveWork(workspace, options);

  await startBranch(workspace, workspace.branch, { ...options, files: saved?.sha });

  expect(readFileSync(join(workspace.checkout, ".gitmodules"), "utf8")).toContain("evil.test");
  expect(readdirSync(outside)).toEqual([]);
});

test("where they are to be left, submodules are empty folders, and stay what they are in the commit", async (t) => {
  const world = await openNested(t);
  const workspace = await world.checkedOut({ submodules: "leave" });
  writeFileSync(join(workspace.checkout, "a.txt"), "changed\n");

  const tree = (await stageTree(workspace, options)) ?? "";

  const inRuns = { ...options, directory: workspace.root, repository: workspace.repository };
  expect(await git(["ls-tree", "-r", tree], inRuns)).toContain(
    `160000 commit ${world.inner.sha}\tlibs/inner`,
  );
});

test.for([
  ["a program", "ext::sh", "ext"],
  ["a private address", "https://10.0.0.1/a.git", "10.0.0.1"],
  ["a password", "https://u:hunter2@example.org/a.git", "credentials"],
  ["an option", "--upload-pack=x", "dash"],
])("a submodule whose address is %s is refused, with what would help", async ([, url = "", said = ""], t) => {
  const world = await openWorld(t);
  await world.server.commit({ ".gitmodules": gitmodules({ sub: url }), sub: { commit: world.server.sha } });
  const workspace = await world.prepare();

  const started = startBranch(workspace, workspace.branch, options);

  await expect(started).rejects.toMatchObject({
    code: "REPOSITORY_INVALID",
    retry: "never",
    message: expect.stringMatching(new RegExp(`submodule "sub".*${said}`)),
    hint: expect.stringContaining('submodules = "leave"'),
  });
  await expect(started).rejects.toThrow(
    expect.not.objectContaining({ message: expect.stringContaining("hunter2") }),
  );
});

test("more submodules than the limit are an error that names it", async (t) => {
  const world = await openNested(t);
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, maxSubmodules: 1 };
  const workspace = await world.prepare();

  await expect(startBranch(workspace, workspace.branch, { ...options, limits })).rejects.toThrow(
    "maxSubmodules (1)",
  );
});

test("a repository with files in Git LFS is refused by their names, and worked on with pointers where that is allowed", async (t) => {
  const world = await openWorld(t, {
    "art/.gitattributes": "*.psd filter=lfs diff=lfs merge=lfs -text\n",
    "art/a.psd": "pointer\n",
    "a.txt": "a\n",
  });

  await expect(prepareWorkspace(world.request, options)).rejects.toMatchObject({
    code: "REPOSITORY_INVALID",
    retry: "never",
    message: expect.stringContaining("it keeps *.psd in Git LFS"),
    hint: expect.stringContaining('lfs = "pointers"'),
  });

  const workspace = await world.prepare({ lfs: "pointers" });
  await startBranch(workspace, workspace.branch, options);
  writeFileSync(join(workspace.checkout, "a.txt"), "changed\n");
  expect(await stageTree(workspace, options)).toMatch(/^[0-9a-f]{40}$/);
  writeFileSync(join(workspace.checkout, "art/a.psd"), "a whole picture\n");
  await expect(stageTree(workspace, options)).rejects.toMatchObject({
    code: "AGENT_FAILED",
    message: expect.stringContaining("art/a.psd belong to Git LFS"),
  });
});

test.for<[string, boolean]>([
  ["with a commit", true],
  ["without one", false],
])("a repository %s that the agent made in the checkout is refused by its name", async ([, hasCommit], t) => {
  const world = await openWorld(t);
  const workspace = await world.prepare();
  await startBranch(workspace, workspace.branch, options);
  const directory = join(workspace.checkout, "vendor/made");
  mkdirSync(directory, { recursive: true });
  await git(["init", "--quiet"], { ...options, directory });
  writeFileSync(join(directory, "file"), "x");
  if (hasCommit) await git(["commit", "--quiet", "--allow-empty", "-m", "x"], { ...options, directory });

  await expect(stageTree(workspace, options)).rejects.toMatchObject({
    code: "AGENT_FAILED",
    message: expect.stringContaining("vendor/made"),
  });
});
