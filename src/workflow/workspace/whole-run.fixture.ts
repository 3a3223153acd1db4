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

type Request = Omit<WorkspaceRequest, "tryLock">;

/** What takes part in a run; loaded after `endAt` has taken its places. */
async function load() {
  const { tryFileLock } = await import("../../store/sqlite/file-lock.ts");
  const { commitMessage } = await import("../branch.ts");
  return {
    tryFileLock,
    commitMessage,
    ...(await import("../commit.ts")),
    ...(await import("../workspace.ts")),
  };
}

/** Does the run, or what is left of it; returns the commit that is pushed. Safe to repeat, like every step of it. */
export async function wholeRun(request: Request): Promise<string> {
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
  if (!workspace.ownCommit?.isPushed) await steps.push(workspace, { branch: request.branch, sha }, options);
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
  await wholeRun(JSON.parse(request) as Request);
}
