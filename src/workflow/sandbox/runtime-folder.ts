/**
 * The folder in which a sandbox keeps what it needs beside the program: made-up files of /etc, the filter of
 * system calls, the proxy's socket. Its name tells which process made it, so that what a killed Robson left behind
 * is found and removed by the next one.
 */
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PREFIX = "robson-sandbox-";

/** Makes one, open to this user alone. */
export async function makeRuntimeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${await ownMark()}-`));
  await chmod(folder, 0o700);
  return folder;
}

/** Safe to call twice. */
export async function removeRuntimeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Removes those whose process has ended. Safe while others do the same. */
export async function sweepRuntimeFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (name.startsWith(PREFIX) && !(await isOfLivingProcess(name.slice(PREFIX.length)))) {
      // Another user's folder is his to remove.
      await removeRuntimeFolder(join(tmpdir(), name)).catch(() => undefined);
    }
  }
}

/** This process as part of a name: its number, when it began (numbers come again), and among which processes it counts. */
export async function ownMark(): Promise<string> {
  return `${process.pid}-${(await startOf(process.pid)) ?? 0}-${await ownNamespace()}`;
}

/**
 * Whether the process that a name begins with (`ownMark`, then a dash) is still there. One of another container, with
 * which this one shares a folder, cannot be seen from here, and counts as living.
 */
export async function isOfLivingProcess(name: string): Promise<boolean> {
  const [, pid, start, namespace] = /^(\d+)-(\d+)-(\d+)-/.exec(name) ?? [];
  if (pid === undefined || namespace !== (await ownNamespace())) return true;
  return (await startOf(Number(pid))) === start;
}

async function ownNamespace(): Promise<string> {
  const link = await readlink("/proc/self/ns/pid").catch(() => "");
  return /\d+/.exec(link)?.[0] ?? "0";
}

/** When a process began, in the kernel's count; undefined when there is none of this number. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The name in parentheses may hold anything; the 20th field after it is the start.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
