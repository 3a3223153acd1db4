/**
 * Finds and ends what programs left running. Every program that works for a task carries the task's folder in its
 * environment, and a mark of its own, and so does what it starts, whatever group or session that moves to. Who cleans
 * his environment on purpose is not found: for that there is the sandbox. Linux only.
 */
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** The variable that marks a process as working in a folder. */
export const WORKSPACE_VARIABLE = "ROBSON_WORKSPACE";

/** The variable that marks a process as belonging to one started program. */
export const PROGRAM_VARIABLE = "ROBSON_PROGRAM";

/** How often is looked again for what was being started meanwhile. Not for the configuration: two are the rule. */
const MAX_ROUNDS = 1000;
const ROUND_MS = 5;

/** Ends every process that carries this folder, and returns how many there were. Safe to call twice. */
export async function endLeftovers(workspace: string): Promise<number> {
  return endMarked(`${WORKSPACE_VARIABLE}=${workspace}`);
}

/** Ends every process with this line in its environment; returns when none is left. Safe to call twice. */
export async function endMarked(mark: string): Promise<number> {
  if (process.platform !== "linux") return 0;
  const ended = new Set<number>();
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const found = await findMarked(mark);
    if (found.length === 0) break;
    for (const pid of found) {
      ended.add(pid);
      send(pid, "SIGKILL");
    }
    await delay(ROUND_MS);
  }
  return ended.size;
}

/** Sends a signal to a group, which may be gone. */
export function signalGroup(group: number, name: NodeJS.Signals): void {
  if (group > 0) send(-group, name);
}

async function findMarked(mark: string): Promise<number[]> {
  const pids = (await readdir("/proc"))
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid);
  const marked = await Promise.all(pids.map(async (pid) => (await environmentOf(pid)).includes(mark)));
  return pids.filter((_, index) => marked[index]);
}

/** Empty for a process that is gone, or waits only to be counted, or is not ours to read. */
async function environmentOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  return text.split("\0");
}

function send(target: number, name: NodeJS.Signals): void {
  try {
    process.kill(target, name);
  } catch (error) {
    // ESRCH: it is gone. EPERM (macOS): only zombies are left of the group.
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}
