/**
 * Ends what an earlier run of a task left running: when Robson itself is killed, an agent lives on and would
 * edit the files under the hands of the next run. Every program that works for a task carries the task's
 * folder in its environment, and is found by it, whatever group or session it moved to. Linux only.
 */
import { readdir, readFile } from "node:fs/promises";

/** The variable that marks a process as working in a folder. */
export const WORKSPACE_VARIABLE = "ROBSON_WORKSPACE";

/** Kills every process that carries this folder, and returns how many there were. Safe to call twice. */
export async function endLeftovers(workspace: string): Promise<number> {
  if (process.platform !== "linux") return 0;
  const mark = `${WORKSPACE_VARIABLE}=${workspace}`;
  let count = 0;
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!(await environmentOf(pid)).includes(mark)) continue;
    count += 1;
    kill(pid);
  }
  return count;
}

/** Empty for a process that is gone, or not ours to read. */
async function environmentOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  return text.split("\0");
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    const isGone = error instanceof Error && "code" in error && error.code === "ESRCH";
    if (!isGone) throw error;
  }
}
