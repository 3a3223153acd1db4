/**
 * A run from its workspace to its push and its end, as the workflow makes it; also a program of its own, for tests that
 * kill it: `whole-run.fixture.ts <request as JSON> [point]` ends itself by SIGKILL at the n-th thing that it does
 * outside of its memory: before it changes a file, or when it has just started a program, which then lives on.
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { WorkspaceRequest } from "../workspace.ts";

export type RunRequest = Omit<WorkspaceRequest, "tryLock"> & {
  /** Where somebody moves the base on to while the run works: a commit of the server's repository. */
  moved: { repository: string; sha: string };
};

/** What takes part in a run; loaded after `endAt` has taken its places. */
async function load() {
  const { tryFileLock } = await import("../../store/sqlite/file-lock.ts");
  const { commitMessage } = await import("../branch.ts");
  const { git } = await import("../git.ts");
  const { rebaseOntoBase } = await import("../rebase.ts");
  const commits = await import("../commit.ts");
  return {
    tryFileLock,
    commitMessage,
    git,
    rebaseOntoBase,
    ...commits,
    ...(await import("../workspace.ts")),
  };
}

/** Does the run, or what is left of it; returns the commit that is pushed. Safe to repeat, like every step of it. */
export async function wholeRun(request: RunRequest): Promise<string> {
  const { tryFileLock, commitMessage, ...steps } = await load();
  const options = { signal: new AbortController().signal };
  const workspace = await steps.prepareWorkspace({ ...request, tryLock: tryFileLock }, options);
  let sha = workspace.ownCommit?.sha;
  if (sha === undefined) {
    await steps.resumeBranch(workspace, request.branch, options);
    await fs.promises.writeFile(join(workspace.checkout, "a.txt"), "changed\n");
    const tree = await steps.stageTree(workspace, options);
    if (tree === undefined) throw new Error("nothing has changed");
    const ticket = { key: request.key, summary: "Change it" };
    const message = commitMessage(ticket, { summary: "", agent: "a", checks: [] });
    sha = await steps.commitTree(workspace, { tree, message, branch: request.branch }, options);
  }
  const { branch, moved } = request;
  const atServer = { ...options, directory: moved.repository, repository: moved.repository };
  await steps.git(["update-ref", "refs/heads/main", moved.sha], atServer);
  const result = await steps.rebaseOntoBase(workspace, { sha, branch }, options);
  if (result.kind === "conflicts") throw new Error(result.report);
  sha = result.sha;
  if (result.kind === "rebased")
    await steps.startBranch(result.workspace, branch, { ...options, files: sha });
  if (!workspace.ownCommit?.isPushed) await steps.push(workspace, { branch, sha }, options);
  await steps.removeWorkspace(workspace, options);
  return sha;
}

function endAt(point: number): void {
  let count = 0;
  const isNow = () => ++count === point;
  const end = () => process.kill(process.pid, "SIGKILL");
  for (const name of ["rename", "rm", "writeFile", "mkdir", "cp", "utimes"] as const) {
    const original = fs.promises[name] as (...args: unknown[]) => Promise<unknown>;
    const replaced = (...args: unknown[]) => {
      if (isNow()) end();
      return original(...args);
    };
    Object.assign(fs.promises, { [name]: replaced });
  }
  const spawn = childProcess.spawn as (...args: unknown[]) => unknown;
  const replaced = (...args: unknown[]) => {
    const child = spawn(...args);
    if (isNow()) end();
    return child;
  };
  Object.assign(childProcess, { spawn: replaced });
  syncBuiltinESMExports();
  process.once("exit", () => process.stdout.write(`${count}\n`));
}

const [, program, request, point] = process.argv;
if (program !== undefined && request !== undefined && import.meta.url === pathToFileURL(program).href) {
  endAt(Number(point ?? 0));
  await wholeRun(JSON.parse(request) as RunRequest);
}
