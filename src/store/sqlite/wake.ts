/** Tells the owner of an SQLite file that another process has written: a touch of `<db>.wake`, watched by it. */
import { type FSWatcher, watch } from "node:fs";
import { open, utimes } from "node:fs/promises";
import { PRIVATE_MODE } from "./private-file.ts";

/** Touches the file. Never rejects: a wake-up that is lost is made good by the loop's fallback poll. */
export async function wakeOwner(file: string): Promise<void> {
  await touch(wakeFile(file)).catch(() => undefined);
}

async function touch(path: string): Promise<void> {
  await (await open(path, "a", PRIVATE_MODE)).close();
  const now = new Date();
  await utimes(path, now, now);
}

/** Calls back at each touch, until closed. */
export async function watchWake(file: string, callback: () => void): Promise<{ close(): void }> {
  const path = wakeFile(file);
  await (await open(path, "a", PRIVATE_MODE)).close();
  const watcher: FSWatcher = watch(path, { persistent: false }, callback);
  watcher.on("error", () => watcher.close());
  return watcher;
}

function wakeFile(file: string): string {
  return `${file}.wake`;
}
