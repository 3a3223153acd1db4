/** A folder for one test. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * What a test must offer for what it made to be removed after it; the context of vitest does. Of another runner:
 * `{ onTestFinished: (callback) => t.after(callback) }`.
 */
export interface TestEnd {
  onTestFinished(callback: () => Promise<void>): void;
}

/** An empty folder, in memory where the machine has such a place, removed after the test. */
export async function temporaryFolder(t: TestEnd): Promise<string> {
  const folder = await createFolder();
  t.onTestFinished(() => removeFolder(folder));
  return folder;
}

/** An empty folder that stays until it is removed. */
export async function createFolder(): Promise<string> {
  const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  return await mkdtemp(join(parent, "robson-test-"));
}

/** Removes it with all that is in it. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
