import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { temporaryFolder } from "../src/testing/temporary-folder.ts";

const root = join(import.meta.dirname, "..");

test("the worker of the README answers over HTTP, and stops at SIGTERM", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules", "robson"));
  await writeFile(join(folder, "echo.mts"), await firstTypeScriptOf("README.md"));
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "echo.mts"], {
    cwd: folder,
    env: { PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");

  const url = /http\S+(?=\/message)/.exec(await firstLineOf(child))?.[0] ?? "";
  const posted = await fetch(`${url}/message`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ content: "/echo hello" }),
  });
  expect(await posted.json()).toEqual({ conversation_id: 1, duplicate: false });
  await expect
    .poll(async () => (await fetch(`${url}/conversations/1/events`)).json())
    .toMatchObject({ processed: true, events: [{ kind: "completed", content: "hello" }] });
  child.kill("SIGTERM");

  expect(await exited).toEqual([0, null]);
});

async function firstTypeScriptOf(file: string): Promise<string> {
  const text = await readFile(join(root, file), "utf8");
  return /```ts\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
}

async function firstLineOf({ stdout }: ChildProcess): Promise<string> {
  if (!stdout) throw new Error("The child has no stdout");
  const [line] = await once(createInterface({ input: stdout }), "line");
  return line as string;
}
