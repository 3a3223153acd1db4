/** `robson run-task` with its options, as a process of its own, over the demo project. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createDemoProject } from "../../workflow/demo-project.ts";
import { aFolder, robson, robsonHere, startRobson } from "../robson-process.fixture.ts";

/** A folder with the demo project; DEMO-1 names no repository, and the agent set is one that cannot run. */
async function aFolderWithTask(): Promise<{ cwd: string; repoUrl: string }> {
  const cwd = aFolder({
    "robson.toml": [
      'workflow.agent = "codex"',
      "workflow.allow_file_repositories = true",
      'agents.scripted.script = "agent-script.json"',
      "",
    ].join("\n"),
  });
  const { task } = await createDemoProject(cwd, { signal: AbortSignal.timeout(60_000) });
  await robson(cwd, "task", "create", "--key", "DEMO-1", "--summary", task.summary);
  return { cwd, repoUrl: task.repoUrls?.[0] ?? "" };
}

test("the repository, the agent and the budget are those of the command line", async () => {
  const { cwd, repoUrl } = await aFolderWithTask();
  const options = ["--repo", repoUrl, "--agent", "scripted"];

  const done = await robson(cwd, "run-task", "demo-1", ...options);
  expect(done.stdout).toContain("**DEMO-1** is ready for review");
  expect(done.exitCode).toBe(0);

  writeFileSync(join(cwd, "agent-script.json"), JSON.stringify([{ spend: 3 }]));
  await robson(cwd, "task", "create", "--key", "DEMO-2", "--summary", "Spend");
  const stopped = await robson(cwd, "run-task", "DEMO-2", ...options, "--budget", "0.5");
  expect(stopped.stdout).toContain("stopped by its budget: it may cost $0.50, and has cost $3.00");
  expect(stopped.exitCode).toBe(1);
}, 120_000);

test("an agent that is not known, or that holds no budget, is refused with those that do", async () => {
  const { cwd, repoUrl } = await aFolderWithTask();
  const run = (...options: string[]) => robson(cwd, "run-task", "DEMO-1", "--repo", repoUrl, ...options);

  expect(await run("--agent", "nobody")).toMatchObject({
    stdout: 'There is no agent "nobody"\nKnown here: codex, scripted, claude-code\n',
    exitCode: 1,
  });
  expect(await run("--budget", "2")).toMatchObject({
    stdout: expect.stringMatching(/^The agent "codex" cannot be held to a budget\n.*scripted, claude-code/),
    exitCode: 1,
  });
}, 120_000);

test("a run that was interrupted is gone on with, and in no other way", async () => {
  const { cwd, repoUrl } = await aFolderWithTask();
  writeFileSync(join(cwd, "agent-script.json"), JSON.stringify([{ run: ["sleep", "60"] }]));
  const begun = startRobson(cwd, ["run-task", "DEMO-1", "--repo", repoUrl, "--agent", "scripted"]);
  await begun.says(/Cloned/);
  begun.child.kill("SIGKILL");
  await begun.finished;
  writeFileSync(
    join(cwd, "agent-script.json"),
    '[{ "file": "total.js", "find": "index = 1", "replace": "index = 0" }]',
  );

  const other = await robson(cwd, "run-task", "DEMO-1", "--agent", "scripted");
  const same = await robson(cwd, "run-task", "DEMO-1");

  expect(other.stderr).toMatch(/run 1 is at it already\nhint: `robson run-task DEMO-1` without options/);
  expect(other.exitCode).toBe(1);
  expect(same.stderr).toMatch(/^Run 1 is at DEMO-1 already; going on with it\n/);
  expect(same.stderr).not.toContain("Cloned");
  expect(same.stdout).toContain("**DEMO-1** is ready for review");
  expect(same.exitCode).toBe(0);
}, 120_000);

test("an address in [[repositories]] that cannot be used is told with its line", async () => {
  const cwd = aFolder({ "robson.toml": '[[repositories]]\nurl = "./shop.git"\n' });
  await robsonHere(cwd, "task", "create", "--key", "A-1", "--summary", "Do it");

  const { stderr, exitCode } = await robsonHere(cwd, "run-task", "A-1");

  expect(exitCode).toBe(2);
  expect(stderr).toContain("line 2, column 1: repositories.url: Cannot use this repository");
});

test.each([
  [["--budget", "0"], "a number above 0, as in 0.5"],
  [["--budget", "much"], "a number above 0, as in 0.5"],
  [["--budget", ""], "a number above 0, as in 0.5"],
  [["--repo", "./shop.git"], "is not a URL, and no absolute path"],
  [["--repo", "https://ada:secret@host/shop.git"], "it holds credentials"],
  [["--agnet", "codex"], "Did you mean --agent?"],
])("%j is refused before anything is stored", async (options, reason) => {
  const cwd = aFolder();
  await robsonHere(cwd, "task", "create", "--key", "A-1", "--summary", "Do it");

  const { stdout, stderr, exitCode } = await robsonHere(cwd, "run-task", "A-1", ...options);

  expect([stdout, exitCode]).toEqual(["", 2]);
  expect(stderr).toContain(reason);
  expect((await robsonHere(cwd, "conversations", "list", "--json")).stdout).toBe("");
});
