import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { createTask, parseTaskKey, parseTaskStatus } from "./task.ts";
import type { TaskStore } from "./task-store.ts";

let tasks: TaskStore;

beforeEach(async (t) => {
  const store = await openStore(join(await temporaryFolder(t), "robson.db"));
  tasks = store.tasks;
  return () => store.close();
});

test("a task is stored with its key in capitals, its project, and its text made storable", async () => {
  const task = await createTask(tasks, { key: " proj_x-12 ", summary: " a\n b\0 ", description: "\u{D800}" });

  expect(task).toMatchObject({
    key: "PROJ_X-12",
    project: "PROJ_X",
    summary: "a b\u{FFFD}",
    description: "\u{FFFD}",
  });
});

test.each([
  "",
  "PROJ",
  "PROJ-",
  "-1",
  "PROJ-0",
  "PROJ-1x",
  "../x-1",
  "PROJ-1; rm",
  "ÄB-1",
  `${"A".repeat(40)}-1`,
])("%j is not a task key", (text) => {
  expect(() => parseTaskKey(text)).toThrow(
    expect.objectContaining({ code: "TASK_INVALID", hint: expect.stringContaining("PROJ-123") }),
  );
});

test("a task without a summary is refused, and one whose text is too long names the limit", async () => {
  const key = "A-1";
  const refusals = [
    [{ key, summary: " \n " }, "no summary"],
    [{ key, summary: "é".repeat(600) }, "its summary has 1200 bytes, and the limit maxSummaryBytes is 1024"],
    [{ key, summary: "x", description: "y".repeat(70_000) }, "the limit maxDescriptionBytes is 65536"],
    [
      { key, summary: "x", repoUrls: Array.from({ length: 11 }, (_, i) => `https://h/${i}`) },
      "maxRepositoriesPerTask is 10",
    ],
  ] as const;
  for (const [request, message] of refusals) {
    await expect(
      createTask(tasks, { ...request, repoUrls: "repoUrls" in request ? [...request.repoUrls] : [] }),
    ).rejects.toMatchObject({
      code: "TASK_INVALID",
      message: expect.stringContaining(message),
      hint: expect.any(String),
    });
  }
  expect(await tasks.list()).toEqual([]);
});

test("a limit can be raised", async () => {
  const summary = "é".repeat(600);

  const task = await createTask(tasks, { key: "A-1", summary }, { limits: { maxSummaryBytes: 2000 } });

  expect(task.summary).toBe(summary);
});

test("a task with a bad repository is refused, and nothing of it is stored", async () => {
  const request = { key: "A-1", summary: "x", repoUrls: ["https://h/a.git", "--upload-pack=x"] };

  await expect(createTask(tasks, request)).rejects.toMatchObject({ code: "REPOSITORY_INVALID" });

  expect(await tasks.list()).toEqual([]);
});

test("a repository that is named twice is touched once", async () => {
  const repoUrls = ["https://h/a.git", "https://h/a.git"];

  expect((await createTask(tasks, { key: "A-1", summary: "x", repoUrls })).repositories).toHaveLength(1);
});

test("an unknown status is refused with the known ones", () => {
  expect(parseTaskStatus("done")).toBe("done");
  expect(() => parseTaskStatus("finished")).toThrow(
    expect.objectContaining({
      code: "TASK_INVALID",
      hint: "Use one of pending, in_progress, done, failed, unfinished",
    }),
  );
});
