import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { tryFileLock } from "./file-lock.ts";

const MODULE = new URL("file-lock.ts", import.meta.url).href;

/** Another process that holds the lock until it is killed. */
async function startHolder(file: string) {
  const program = `import(${JSON.stringify(MODULE)}).then(({ tryFileLock }) => {
    process.stdout.write(tryFileLock(${JSON.stringify(file)})?.isHeld ? "held" : "refused");
    setInterval(() => {}, 1000);
  });`;
  const args = ["--disable-warning=ExperimentalWarning", "-e", program];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = await once(child.stdout, "data");
  return { child, said: String(said) };
}

test("a lock is held by one at a time, and by the next when it is released", async (t) => {
  const file = join(await temporaryFolder(t), "lock");
  const first = tryFileLock(file);

  expect(tryFileLock(file)).toBeUndefined();
  first?.release();
  first?.release();
  expect(first?.isHeld).toBe(false);
  const second = tryFileLock(file);
  expect(second?.isHeld).toBe(true);
  second?.release();
});

test("the lock of a process that is killed is free, and was refused to others before", async (t) => {
  const file = join(await temporaryFolder(t), "lock");
  const { child, said } = await startHolder(file);
  expect(said).toBe("held");
  expect(tryFileLock(file)).toBeUndefined();

  child.kill("SIGKILL");
  await once(child, "close");

  const lock = tryFileLock(file);
  expect(lock?.isHeld).toBe(true);
  lock?.release();
});
