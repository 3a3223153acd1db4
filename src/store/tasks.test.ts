import { beforeEach, describe, expect, test } from "vitest";
import { databaseKinds } from "../testing/databases.ts";
import { openStore } from "./open-store.ts";
import { createPullRequestStore } from "./pull-requests.ts";
import type { Sql } from "./sql.ts";
import { createTaskStore } from "./tasks.ts";

function aTask(key: string, repoUrls: string[] = []) {
  return { key, summary: `Summary of ${key}`, description: "", project: key.split("-")[0] ?? "", repoUrls };
}

describe.each(databaseKinds)("on $name", ({ create }) => {
  let sql: Sql;
  let now = 1000;
  const clock = { now: () => now };

  beforeEach(async (t) => {
    const store = await openStore(await create(t));
    sql = await store.sql();
    now = 1000;
    return () => store.close();
  });

  test("a created task is pending, as are its repositories, and is found by its key", async () => {
    const tasks = createTaskStore(sql, clock);

    const created = await tasks.create({
      ...aTask("PROJ-1", ["https://h/a.git", "https://h/b.git"]),
      assignee: "Ada",
    });

    expect(created).toEqual({
      key: "PROJ-1",
      summary: "Summary of PROJ-1",
      description: "",
      assignee: "Ada",
      project: "PROJ",
      status: "pending",
      createdAt: 1000,
      updatedAt: 1000,
      repositories: [
        { url: "https://h/a.git", status: "pending" },
        { url: "https://h/b.git", status: "pending" },
      ],
    });
    expect(await tasks.get("PROJ-1")).toEqual(created);
  });

  test("two tasks share a repository, each with its own status of it", async () => {
    const tasks = createTaskStore(sql, clock);
    await tasks.create(aTask("A-1", ["https://h/a.git"]));
    await tasks.create(aTask("A-2", ["https://h/a.git"]));

    await tasks.setRepositoryStatus("A-2", {
      url: "https://h/a.git",
      status: "done",
      branch: "b",
      prUrl: "u",
    });

    expect((await tasks.get("A-1")).repositories).toEqual([{ url: "https://h/a.git", status: "pending" }]);
    expect((await tasks.get("A-2")).repositories).toEqual([
      { url: "https://h/a.git", status: "done", branch: "b", prUrl: "u" },
    ]);
  });

  test("a key that is taken is refused, and nothing of the second task is kept", async () => {
    const tasks = createTaskStore(sql, clock);
    const first = await tasks.create(aTask("PROJ-1", ["https://h/a.git"]));

    await expect(tasks.create(aTask("PROJ-1", ["https://h/b.git"]))).rejects.toMatchObject({
      code: "TASK_EXISTS",
    });

    expect(await tasks.get("PROJ-1")).toEqual(first);
  });

  test("of two that create one key at the same moment, one is told that the task exists", async () => {
    const tasks = createTaskStore(sql, clock);

    const outcomes = await Promise.allSettled([
      tasks.create(aTask("PROJ-1", ["https://h/a.git"])),
      tasks.create(aTask("PROJ-1", ["https://h/b.git"])),
    ]);

    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const refused = outcomes.find((outcome) => outcome.status === "rejected");
    expect(refused?.reason).toMatchObject({ code: "TASK_EXISTS" });
    expect((await tasks.get("PROJ-1")).repositories).toHaveLength(1);
  });

  test("the first start and the last end of a task are kept", async () => {
    const tasks = createTaskStore(sql, clock);
    await tasks.create(aTask("PROJ-1"));

    now = 2000;
    await tasks.setStatus("PROJ-1", { status: "in_progress" });
    now = 3000;
    await tasks.setStatus("PROJ-1", { status: "failed", error: "no luck" });
    expect(await tasks.get("PROJ-1")).toMatchObject({
      status: "failed",
      startedAt: 2000,
      finishedAt: 3000,
      error: "no luck",
    });

    now = 4000;
    await tasks.setStatus("PROJ-1", { status: "in_progress", error: null });
    const again = await tasks.get("PROJ-1");
    expect(again).toMatchObject({ status: "in_progress", startedAt: 2000, updatedAt: 4000 });
    expect(again.finishedAt).toBeUndefined();
    expect(again.error).toBeUndefined();
  });

  test("a task that is not there is an error with a hint, whatever is asked of it", async () => {
    const tasks = createTaskStore(sql, clock);
    const missing = { code: "TASK_NOT_FOUND", hint: expect.stringContaining("/task list") };

    await expect(tasks.get("NO-1")).rejects.toMatchObject(missing);
    await expect(tasks.setStatus("NO-1", { status: "done" })).rejects.toMatchObject(missing);
    await expect(tasks.setRepositoryStatus("NO-1", { url: "u", status: "done" })).rejects.toMatchObject(
      missing,
    );
    await expect(tasks.findOrCreateComment("NO-1", { marker: "m", body: "b" })).rejects.toMatchObject(
      missing,
    );
    expect(await tasks.find("NO-1")).toBeUndefined();
  });

  test("tasks are listed from the oldest on, by status and project", async () => {
    const tasks = createTaskStore(sql, clock);
    for (const key of ["B-2", "A-1", "B-1"]) await tasks.create(aTask(key, ["https://h/a.git"]));
    await tasks.setStatus("B-1", { status: "done" });

    const keys = async (filter?: Parameters<typeof tasks.list>[0]) =>
      (await tasks.list(filter)).map(({ key }) => key);

    expect(await keys()).toEqual(["B-2", "A-1", "B-1"]);
    expect(await keys({ project: "B" })).toEqual(["B-2", "B-1"]);
    expect(await keys({ status: "done" })).toEqual(["B-1"]);
    expect(await keys({ limit: 1 })).toEqual(["B-2"]);
  });

  test("a comment with a known marker is not written twice", async () => {
    const tasks = createTaskStore(sql, clock);
    await tasks.create(aTask("PROJ-1"));

    expect(await tasks.findOrCreateComment("PROJ-1", { marker: "m", body: "first" })).toEqual({
      isNew: true,
    });
    expect(await tasks.findOrCreateComment("PROJ-1", { marker: "m", body: "second" })).toEqual({
      isNew: false,
    });

    expect(await tasks.comments("PROJ-1")).toEqual([{ marker: "m", body: "first", createdAt: 1000 }]);
  });

  test("there is one open pull request per repository, head and base, and numbers count over all", async () => {
    const pullRequests = createPullRequestStore(sql, clock);
    const request = {
      repoUrl: "https://h/a.git",
      head: "x",
      base: "main",
      title: "t",
      body: "b",
      headSha: "1",
    };

    const first = await pullRequests.findOrCreate(request);
    const other = await pullRequests.findOrCreate({ ...request, repoUrl: "https://h/b.git" });
    now = 2000;
    const again = await pullRequests.findOrCreate({ ...request, headSha: "2" });

    expect(first).toMatchObject({ number: 1, isNew: true, status: "open" });
    expect(other).toMatchObject({ number: 2, isNew: true });
    expect(again).toMatchObject({ number: 1, isNew: false, headSha: "2", updatedAt: 2000 });
    expect(await pullRequests.list({ repoUrl: "https://h/a.git" })).toHaveLength(1);
    expect((await pullRequests.list({ limit: 1 })).map(({ number }) => number)).toEqual([1]);
    expect(await pullRequests.find(2)).toMatchObject({ repoUrl: "https://h/b.git" });
  });

  test("a pull request stays the draft that it was opened as, and of an older release's it is not known", async () => {
    const pullRequests = createPullRequestStore(sql, clock);
    const request = { repoUrl: "https://h/a.git", base: "main", title: "t", body: "b", headSha: "1" };

    const draft = await pullRequests.findOrCreate({ ...request, head: "x", isDraft: true });
    const adopted = await pullRequests.findOrCreate({ ...request, head: "x", headSha: "2" });
    const ready = await pullRequests.findOrCreate({ ...request, head: "y" });
    await sql.write([
      sql.read.updateTable("pull_requests").set({ is_draft: null }).where("head", "=", "y").compile(),
    ]);

    expect([draft.isDraft, adopted.isDraft, ready.isDraft]).toEqual([true, true, false]);
    expect(await pullRequests.find(1)).toMatchObject({ headSha: "2", isDraft: true });
    expect(await pullRequests.find(2)).not.toHaveProperty("isDraft");
  });
});
