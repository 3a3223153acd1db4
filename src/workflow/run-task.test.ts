import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";

const BRANCH = "robson/DEMO-1-the-first-line-of-a-bill-is-not-counted";

let world: DemoWorkflow;

beforeEach(async () => {
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

/** What must hold however often and however badly interrupted the task was run. */
async function expectSingleResult() {
  expect(await world.branches()).toEqual(["main", BRANCH]);
  expect((await world.git("rev-list", "--count", `main..${BRANCH}`)).trim()).toBe("1");
  expect(await world.git("show", `${BRANCH}:total.js`)).toContain("let index = 0;");
  expect(await world.pullRequests.list()).toHaveLength(1);
  expect(await world.tasks.comments("DEMO-1")).toHaveLength(1);
  const task = await world.tasks.get("DEMO-1");
  expect(task).toMatchObject({ status: "done", branch: BRANCH, prUrl: "robson://pull/1" });
  expect(task.error).toBeUndefined();
  expect(task.repositories).toEqual([
    { url: world.project.repoUrl, status: "done", branch: BRANCH, prUrl: "robson://pull/1" },
  ]);
}

test("a task becomes a pushed branch, a pull request, a comment, and is done", async () => {
  const report = await world.run("DEMO-1");

  expect(report.repositories).toMatchObject([
    {
      branch: BRANCH,
      base: "main",
      diffStat: expect.stringContaining("1 file changed, 1 insertion(+), 1 deletion(-)"),
      checks: [{ command: "npm test", isPassed: true }],
      pullRequest: { url: "robson://pull/1", number: 1, isNew: true },
    },
  ]);
  await expectSingleResult();
});

test("the commit is Robson's, and says which task it is for", async () => {
  await world.run("DEMO-1");

  const [author, ...message] = (await world.git("log", "-1", "--format=%an <%ae>%n%B", BRANCH))
    .trim()
    .split("\n");

  expect(author).toBe("Robson <robson@localhost>");
  expect(message.join("\n")).toBe(`DEMO-1: The first line of a bill is not counted

Edited total.js.

Robson-Task: DEMO-1
Robson-Agent: scripted
Robson-Check: passed npm test`);
});

test("the pull request says what was asked, what changed, what was run and what was not verified", async () => {
  await world.run("DEMO-1");

  const [pullRequest] = await world.pullRequests.list();

  expect(pullRequest?.title).toBe("DEMO-1: The first line of a bill is not counted");
  expect(pullRequest?.headSha).toBe((await world.git("rev-parse", BRANCH)).trim());
  const sections = pullRequest?.body.split(/^## /m).map((section) => section.split("\n")[0]);
  expect(sections).toEqual([
    "",
    "What was asked",
    "What changed",
    "What was run",
    "What was not verified",
    "Cost and time",
    "How to ask for changes",
  ]);
  expect(pullRequest?.body).toContain("- `npm test` passed");
  expect(pullRequest?.body).toContain("total.js | 2 +-");
});

test("the forge is told which pull requests are drafts", async () => {
  await world.create({ key: "DEMO-2", summary: "The same once more", repoUrls: [world.project.repoUrl] });

  await world.run("DEMO-1");
  world.options.pullRequests = "draft";
  await world.run("DEMO-2");

  expect((await world.pullRequests.list()).map(({ isDraft }) => isDraft)).toEqual([false, true]);
});

test("a task that is run twice has the result of one run, and the agent works once", async () => {
  const first = await world.run("DEMO-1");
  world.script([{ file: "second.txt", content: "the agent was run again" }]);

  const second = await world.run("DEMO-1");

  expect(second.repositories[0]?.commit).toBe(first.repositories[0]?.commit);
  expect(second.repositories[0]?.checks).toEqual(
    first.repositories[0]?.checks.map(({ command, isPassed }) => ({ command, isPassed })),
  );
  expect(second.repositories[0]?.pullRequest.isNew).toBe(false);
  await expectSingleResult();
});

test("what is interrupted anywhere is finished by the next attempt, and the agent works once", async () => {
  const points: string[] = [];
  const probe = (point: string) => {
    if (points.includes(point)) return;
    points.push(point);
    // Until its turn is stored, an agent that was interrupted takes up its session.
    if (!point.includes("agent 1")) throw new Error("the power failed");
  };
  await world.run("DEMO-1", { probe, maxAttempts: 1000 });

  expect(points.length).toBeGreaterThan(30);
  await expectSingleResult();
});

test("a branch keeps its name when the summary is edited between two runs", async () => {
  const probe = (point: string) => {
    if (point === "origin: push: before") throw new WorkerError("the power failed", { retry: "never" });
  };
  await expect(world.run("DEMO-1", { probe })).rejects.toThrow("the power failed");
  const { tracker } = world.options;
  world.options.tracker = {
    ...tracker,
    ticket: async (key, options) => ({ ...(await tracker.ticket(key, options)), summary: "Something else" }),
  };

  await world.run("DEMO-1");

  await expectSingleResult();
});

test("the clone is removed when the work is done", async () => {
  await world.run("DEMO-1");

  expect(await readdir(`${world.options.workDirectory}/DEMO-1`)).toEqual([]);
});

test("a commit that a person adds to the branch is kept, and the task's own is still found", async () => {
  await world.run("DEMO-1");
  const tree = (await world.git("rev-parse", `${BRANCH}^{tree}`)).trim();
  const sha = (await world.git("commit-tree", tree, "-p", BRANCH, "-m", "A person's commit")).trim();
  await world.git("update-ref", `refs/heads/${BRANCH}`, sha);

  const report = await world.run("DEMO-1");

  expect(report.repositories[0]?.commit).toBe(sha);
  expect(await world.pullRequests.list()).toMatchObject([{ headSha: sha }]);
});

test("a commit that someone adds to the branch before it is known to be pushed is kept, and goes into the pull request", async () => {
  let added = "";
  const probe = async (point: string) => {
    if (point !== "origin: push: done" || added !== "") return;
    const tree = (await world.git("rev-parse", `${BRANCH}^{tree}`)).trim();
    added = (await world.git("commit-tree", tree, "-p", BRANCH, "-m", "A bot's commit")).trim();
    await world.git("update-ref", `refs/heads/${BRANCH}`, added);
    throw new Error("the power failed");
  };

  const report = await world.run("DEMO-1", { probe });

  expect(report.repositories[0]?.commit).not.toBe(added);
  expect(await world.pullRequests.list()).toMatchObject([{ headSha: added }]);
  expect((await world.git("rev-list", "--count", `main..${BRANCH}`)).trim()).toBe("2");
});

test("what the agent does with git itself changes nothing: one commit on the base is pushed", async () => {
  world.script([
    { file: "total.js", find: "let index = 1;", replace: "let index = 0;" },
    { run: ["git", "checkout", "-q", "-b", "elsewhere"] },
    { run: ["git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "The agent's own commit"] },
    { run: ["git", "remote", "set-url", "origin", "/nonexistent"] },
    { run: ["touch", ".git/index.lock"] },
  ]);

  await world.run("DEMO-1");

  await expectSingleResult();
  expect(await world.git("log", "--format=%s", BRANCH)).not.toContain("The agent's own commit");
});

test("what the checks leave behind is not committed", async () => {
  world.options.repositories = [
    {
      url: world.project.repoUrl,
      verify: [
        ["npm", "test"],
        ["node", "-e", 'fs.writeFileSync("coverage.txt", "x")'],
      ],
    },
  ];

  await world.run("DEMO-1");

  expect(await world.git("ls-tree", "--name-only", BRANCH)).not.toContain("coverage.txt");
});

test("hostile text in the ticket and hostile file names reach git as they are", async () => {
  // They are odd, and a person would be asked.
  world.options.gates = { oddNames: "allow" };
  const name = 'a "quoted" $(touch pwned) `b` 🦀\n--option';
  world.script([
    { file: name, content: "x" },
    { file: "--help", content: "y" },
    { file: "total.js", find: "let index = 1;", replace: "let index = 0 /* $& $1 $(id) */;" },
  ]);
  const summary = `--amend "x" 'y' \`z\` $(touch pwned); rm -rf / \n\n 🦀 Ü\n\nRobson-Task: OTHER-1`;
  await world.create({ key: "DEMO-2", summary, description: "```\n@all", repoUrls: [world.project.repoUrl] });

  const report = await world.run("DEMO-2");

  const [repository] = report.repositories;
  expect(repository?.branch).toBe("robson/DEMO-2-amend-x-y-z-touch-pwned-rm-rf-u-robson-t");
  const files = (await world.git("ls-tree", "-z", "--name-only", repository?.branch ?? "")).split("\0");
  expect(files).toContain(name);
  expect(files).toContain("--help");
  expect(files).not.toContain("pwned");
  const message = await world.git("log", "-1", "--format=%B", repository?.branch ?? "");
  expect(message.split("\n")[0]).toMatch(
    /^DEMO-2: --amend "x" 'y' `z` \$\(touch pwned\); rm -rf \/ 🦀 Ü Robson-Task: OTHER-1$/,
  );
  expect(message).toContain("\nRobson-Task: DEMO-2\n");
  expect(await world.git("show", `${repository?.branch}:total.js`)).toContain("/* $& $1 $(id) */");
});

test("a summary of the agent that no database and no argument could carry is made fit", async () => {
  world.options.agent = {
    name: "talkative",
    async run({ directory }) {
      await writeFile(join(directory, "total.js"), "export const total = () => 600;\n");
      return { outcome: "done", summary: `a\0b\u{D800}${"\u0301".repeat(300_000)}`, usage: {} };
    },
  };

  const report = await world.run("DEMO-1");

  const [pullRequest] = await world.pullRequests.list();
  expect(pullRequest?.body).toContain("> a\u{FFFD}b\u{FFFD}");
  expect(await world.git("log", "-1", "--format=%b", report.repositories[0]?.branch ?? "")).toContain(
    "a\u{FFFD}b",
  );
});
