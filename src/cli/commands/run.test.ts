/** `robson run` as a process of its own, over the demo project and tasks that can come to nothing. */
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../testing/databases.ts";
import { type TestEnd, temporaryFolder } from "../../testing/temporary-folder.ts";
import { createDemoProject } from "../../workflow/demo-project.ts";
import { aFolder, robson } from "../robson-process.fixture.ts";

/** A folder with the demo project, whose task is stored as each of the keys. */
async function aFolderWithTasks(location: string, ...keys: string[]): Promise<string> {
  const cwd = aFolder({
    "robson.toml": [
      `database.url = "${location}"`,
      "limits.max_message_attempts = 1",
      "workflow.allow_file_repositories = true",
      'agents.scripted.script = "agent-script.json"',
      "",
    ].join("\n"),
  });
  const { task } = await createDemoProject(cwd, { signal: AbortSignal.timeout(60_000) });
  const [url = ""] = task.repoUrls ?? [];
  for (const key of keys) await createTask(cwd, key, url);
  return cwd;
}

async function createTask(cwd: string, key: string, url: string): Promise<void> {
  await robson(cwd, "task", "create", "--key", key, "--summary", "Count the first line", "--repo-url", url);
}

const statuses = async (cwd: string) =>
  Object.fromEntries(
    JSON.parse((await robson(cwd, "task", "list", "--json")).stdout).map(
      ({ key, status }: { key: string; status: string }) => [key, status],
    ),
  );

/** What does not depend on the database. */
const onSqlite = async (t: TestEnd) => `${await temporaryFolder(t)}/robson.db`;

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("every pending task is done, and each is answered for", async (t) => {
    const cwd = await aFolderWithTasks(await create(t), "DEMO-1", "DEMO-2");

    const { stdout, stderr, exitCode } = await robson(cwd, "run");

    expect(stdout).toContain("**DEMO-1** is ready for review");
    expect(stdout).toContain("**DEMO-2** is ready for review");
    expect(stderr).toMatch(/^2 of 2 tasks went well$/m);
    expect(exitCode).toBe(0);
    expect(await statuses(cwd)).toEqual({ "DEMO-1": "done", "DEMO-2": "done" });
    expect(await robson(cwd, "run")).toEqual({
      ...{ stdout: "", stderr: "There are no pending tasks\n", exitCode: 0 },
    });
  }, 180_000);
});

test("one that fails makes the exit code 1, and the others are done all the same", async (t) => {
  const cwd = await aFolderWithTasks(await onSqlite(t));
  await createTask(cwd, "BAD-1", `file://${cwd}/absent.git`);
  await createTask(cwd, "DEMO-1", `file://${cwd}/origin.git`);

  const { stdout, exitCode } = await robson(cwd, "run", "--json", "--parallel", "1");

  const ends = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === "completed" || kind === "failed");
  expect(ends.map(({ conversationId, kind }) => [conversationId, kind])).toEqual([
    [1, "failed"],
    [2, "completed"],
  ]);
  expect(exitCode).toBe(1);
  expect(await statuses(cwd)).toMatchObject({ "BAD-1": "failed", "DEMO-1": "done" });
}, 180_000);

test("with --limit the oldest tasks are taken, and the rest stays pending", async (t) => {
  const cwd = await aFolderWithTasks(await onSqlite(t), "DEMO-1", "DEMO-2");

  expect((await robson(cwd, "run", "--limit", "1")).stderr).toContain("1 of 1 tasks went well");

  expect(await statuses(cwd)).toEqual({ "DEMO-1": "done", "DEMO-2": "pending" });
}, 180_000);
