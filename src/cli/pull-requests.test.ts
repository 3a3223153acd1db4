import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { pullRequestBody } from "../workflow/pull-request-body.ts";
import { aFolder, robson } from "./robson-process.fixture.ts";

const BODY = "## What was asked\n\nA-1: Fix it\n";

/** A folder with a database that holds one pull request; `isOld`: opened by a release that keeps no drafts. */
async function folderWithPullRequest({ isDraft = false, isOld = false, body = BODY } = {}): Promise<string> {
  const folder = aFolder();
  const store = await openStore(join(folder, "robson.db"));
  await store.pullRequests.findOrCreate({
    ...{ repoUrl: "https://example.org/shop.git", head: "robson/A-1-fix", base: "main", headSha: "abc123" },
    ...{ title: "A-1: Fix it", body, isDraft },
  });
  await store.close();
  if (isOld) {
    const database = new DatabaseSync(join(folder, "robson.db"));
    database.exec("update pull_requests set is_draft = null");
    database.close();
  }
  return folder;
}

test("the pull requests are listed, and one is shown with its text and how to fetch it", async () => {
  const cwd = await folderWithPullRequest();

  const listed = await robson(cwd, "pull-requests", "list");
  const shown = await robson(cwd, "pull-requests", "show", "1");
  const json = await robson(cwd, "pull-requests", "show", "1", "--json");

  expect(listed.stdout).toBe("1     open    A-1: Fix it  robson/A-1-fix  https://example.org/shop.git\n");
  expect(shown.stdout).toContain("Branch:     robson/A-1-fix, into main\nCommit:     abc123\n");
  expect(shown.stdout).toContain(
    "git fetch https://example.org/shop.git robson/A-1-fix && git diff abc123^ abc123",
  );
  expect(shown.stdout).toMatch(/\n## What was asked\n\nA-1: Fix it\n$/);
  expect(JSON.parse(json.stdout)).toMatchObject({ number: 1, status: "open", headSha: "abc123" });
});

/** Its text says that it is one. */
const DRAFT_BODY = pullRequestBody(
  { key: "A-1", summary: "Fix it", description: "" },
  { diffStat: "", summary: "", agent: "scripted", checks: [] },
);

test.each([
  ["its text does not say so", { isDraft: true }],
  ["an older release opened it", { isOld: true, body: DRAFT_BODY }],
])("a draft is shown as one though %s", async (_case, pullRequest) => {
  const cwd = await folderWithPullRequest(pullRequest);

  expect((await robson(cwd, "pull-requests", "list")).stdout).toMatch(/^1 {5}draft {3}A-1: Fix it {2}/);
  expect((await robson(cwd, "pull-requests", "show", "1")).stdout).toContain("Status:     draft\n");
  const json = await robson(cwd, "pull-requests", "list", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject([{ status: "open", isDraft: true }]);
});

test("one that was opened ready is no draft, whatever its text says", async () => {
  const cwd = await folderWithPullRequest({ body: DRAFT_BODY });

  expect((await robson(cwd, "pull-requests", "list")).stdout).toMatch(/^1 {5}open {4}A-1/);
});

test("where there is none, that is said", async () => {
  const cwd = aFolder();

  expect(await robson(cwd, "pull-requests", "list")).toMatchObject({
    stdout: "",
    stderr: "There are no pull requests\n",
    exitCode: 0,
  });
  const missing = await robson(cwd, "pull-requests", "show", "7");
  expect(missing.stderr).toContain(
    "There is no pull request 7\nhint: List them with: robson pull-requests list",
  );
  expect(missing.exitCode).toBe(1);
});

test("a task that names no repository is stored, with what it lacks", async () => {
  const created = await robson(aFolder(), "task", "create", "--key", "A-1", "--summary", "x");

  expect([created.stdout, created.exitCode]).toEqual(["A-1\n", 0]);
  expect(created.stderr).toContain("robson run-task A-1 --repo <url>");
});
