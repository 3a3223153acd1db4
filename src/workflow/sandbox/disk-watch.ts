/**
 * Watches how much the folders of a program hold: no quota of the system is there for whoever wants one. Between two
 * measurements it may write more than it is allowed, so the free space of the disk, which is asked for in no time, is looked
 * at each second.
 */
import { lstat, opendir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { RobsonError } from "../../core/errors.ts";
import type { SandboxLimits } from "../limits.ts";

export interface DiskWatch {
  /** Aborted with a `SANDBOX_LIMIT` when a limit is passed. */
  signal: AbortSignal;
  /** Safe to call twice. */
  stop(): void;
}

export type DiskLimits = Pick<SandboxLimits, "maxDiskMib" | "minFreeDiskMib" | "diskCheckMs">;

const MIB = 1024 * 1024;
/** How often the free space is looked at. Not for the configuration: it costs one system call. */
const FREE_SPACE_CHECK_MS = 1000;

/** Begins to watch; the first measurement comes after `diskCheckMs`. Holds no process open. */
export function watchDisk(folders: readonly string[], limits: DiskLimits): DiskWatch {
  const over = new AbortController();
  const stopped = new AbortController();
  const stop = () => {
    stopped.abort();
    clearInterval(freeTimer);
    clearTimeout(sizeTimer);
  };
  const end = (message: string, limit: string) => {
    if (stopped.signal.aborted) return;
    stop();
    over.abort(
      new RobsonError("SANDBOX_LIMIT", message, { hint: `Free the disk, or change ${limit} in robson.toml` }),
    );
  };
  const freeTimer = setInterval(async () => {
    for (const folder of folders) {
      const free = await freeMib(folder);
      if (free >= limits.minFreeDiskMib) continue;
      const message = `Only ${free} MiB are free on the disk of ${folder}, less than minFreeDiskMib (${limits.minFreeDiskMib})`;
      return end(message, "sandbox.limits.min_free_disk_mib");
    }
  }, FREE_SPACE_CHECK_MS).unref();

  let sizeTimer: NodeJS.Timeout;
  const measure = () => {
    sizeTimer = setTimeout(async () => {
      const bytes = await sizeOf(folders, { maxBytes: limits.maxDiskMib * MIB, signal: stopped.signal });
      if (bytes > limits.maxDiskMib * MIB) {
        const message = `The folders of the program hold more than maxDiskMib (${limits.maxDiskMib})`;
        return end(message, "sandbox.limits.max_disk_mib");
      }
      if (!stopped.signal.aborted) measure();
    }, limits.diskCheckMs).unref();
  };
  measure();
  return { signal: over.signal, stop };
}

async function freeMib(folder: string): Promise<number> {
  // A folder that is gone takes no room.
  const found = await statfs(folder).catch(() => undefined);
  return found === undefined ? Number.POSITIVE_INFINITY : Math.floor((found.bavail * found.bsize) / MIB);
}

/** What they take on the disk, up to a little more than the limit. Links are not followed. */
async function sizeOf(
  folders: readonly string[],
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<number> {
  const pending = [...folders];
  let bytes = 0;
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    const entries = await opendir(folder).catch(() => undefined);
    if (entries === undefined) continue;
    for await (const entry of entries) {
      if (signal.aborted || bytes > maxBytes) return bytes;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) pending.push(path);
      const { blocks = 0 } = (await lstat(path).catch(() => undefined)) ?? {};
      bytes += blocks * 512;
    }
  }
  return bytes;
}
