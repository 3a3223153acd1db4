/** A folder for one test. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a test must offer for what it made to be removed after it; the context of vitest does. */
export interface TestEnd {
  onTestFinished(callback: () => Promise<void>): void;
}

/** An empty folder, in memory where the machine has such a place, removed after the test. */
export async function temporaryFolder(t: TestEnd): Promise<string> {
  const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = await mkdtemp(join(parent, "robson-test-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
