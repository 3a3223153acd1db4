import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tryFileLock } from "../store/sqlite/file-lock.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { withLock } from "./file-lock.ts";

const signal = new AbortController().signal;

test("who waits for a lock gets it when it is released, one after the other, and gives it back after an error", async (t) => {
  const file = join(await temporaryFolder(t), "lock");
  const wait = { tryLock: tryFileLock, what: "it", maxWaitMs: 60_000, signal };
  const order: string[] = [];
  const work = (name: string) => async () => {
    order.push(`${name} begins`);
    await mkdir(join(file, "..", name));
    order.push(`${name} ends`);
  };

  await Promise.all(["a", "b", "c"].map((name) => withLock(file, wait, work(name))));
  await expect(withLock(file, wait, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await withLock(file, wait, work("d"));

  for (let at = 0; at < order.length; at += 2) {
    expect(order[at]?.replace("begins", "ends")).toBe(order[at + 1]);
  }
});

test("a lock that is not free in time is an error that names the limit, and an abort ends the waiting", async (t) => {
  const file = join(await temporaryFolder(t), "lock");
  const held = tryFileLock(file);
  t.onTestFinished(() => held?.release());
  const work = () => Promise.resolve();
  const wait = { tryLock: tryFileLock, what: "repository x", signal };

  await expect(withLock(file, { ...wait, maxWaitMs: 1 }, work)).rejects.toMatchObject({
    code: "GIT_FAILED",
    retry: "later",
    message: expect.stringMatching(/repository x.*maxLockWaitMs \(1 ms\)/),
  });
  const stopping = AbortSignal.abort(new Error("stopping"));
  await expect(withLock(file, { ...wait, maxWaitMs: 60_000, signal: stopping }, work)).rejects.toThrow(
    "stopping",
  );
});
