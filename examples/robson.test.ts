/** The examples as their reader runs them: `robson` with a robson.toml that loads both plugins. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** A folder with the examples; the packages that they use are installed there. */
async function aProject(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "robson-examples-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const name of ["worker.ts", "gateway.ts", "robson.toml"]) {
    await cp(join(import.meta.dirname, name), join(folder, name));
  }
  await mkdir(join(folder, "node_modules"));
  await symlink(join(root, "node_modules/zod"), join(folder, "node_modules/zod"));
  return folder;
}

function robson(t: TestContext, cwd: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [join(root, "src/cli/main.ts"), ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function outputOf(child: ChildProcess) {
  const [output, errors] = [child.stdout, child.stderr].map(async (stream) => {
    let text = "";
    for await (const chunk of stream?.setEncoding("utf8") ?? []) text += chunk;
    return text;
  });
  const [exitCode] = await once(child, "close");
  return { stdout: await output, stderr: await errors, exitCode };
}

test("`robson send --wait` is answered by the worker of the plugin", async (t) => {
  const folder = await aProject(t);
  await mkdir(join(folder, "chat/in"), { recursive: true });
  await writeFile(join(folder, "chat/in/question.txt"), "/shout not yet");

  const sent = await outputOf(robson(t, folder, "send", "--wait", "/shout hello"));

  expect(sent).toEqual({ stdout: "HELLO\n", stderr: "", exitCode: 0 });
  // One message's process: it does not listen to the folder.
  expect(await readdir(join(folder, "chat/in"))).toEqual(["question.txt"]);
});

test("a file that is dropped into the folder is answered by the agent beside it", async (t) => {
  const folder = await aProject(t);
  await writeFile(join(folder, "robson.toml"), "\n[server]\nport = 0\n", { flag: "a" });
  await mkdir(join(folder, "chat/in"), { recursive: true });
  await writeFile(join(folder, "chat/in/question.txt"), "/shout is anyone there?");

  const agent = robson(t, folder, "agent");
  const ended = outputOf(agent);
  const answers = async () =>
    (await readdir(join(folder, "chat/out")).catch(() => [])).filter((name) => name.endsWith(".md"));
  await expect.poll(answers, { timeout: 20_000 }).toHaveLength(1);
  const [name = ""] = await answers();
  agent.kill("SIGTERM");

  expect(name).toMatch(/^question\.txt\.[0-9a-f-]{36}\.md$/);
  expect(await readFile(join(folder, "chat/out", name), "utf8")).toBe("IS ANYONE THERE?");
  expect(await readdir(join(folder, "chat/in"))).toEqual([]);
  expect((await ended).exitCode).toBe(0);
});
