import { afterEach, beforeEach, expect, test } from "vitest";
import { parseArguments } from "../core/arguments/parse-arguments.ts";
import { wrongArgumentsText } from "../core/help.ts";
import { silentLogger } from "../core/logger.ts";
import type { ReceivedMessage } from "../core/message-event.ts";
import { idleControl } from "../testing/builders.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { workflowWorkers } from "./workers.ts";

let world: DemoWorkflow;

/** These workers have no long work. */
const noRun = () => Promise.reject(new Error("not used here"));
const contextWithoutRun = { step: noRun, effect: noRun, ask: noRun, sleep: noRun, waitFor: noRun, round: 1 };

beforeEach(async () => {
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

/** Says it to the worker whose command it starts with; returns what that worker emitted. */
async function say(
  content: string,
  options: { attempt?: number; createdAt?: number; workers?: ReturnType<typeof workflowWorkers> } = {},
) {
  const {
    attempt = 1,
    createdAt = 0,
    workers = workflowWorkers({ ...world.options, allowFileUrls: true }),
  } = options;
  const worker = workers.find(({ command }) => command !== undefined && content.startsWith(command));
  if (!worker?.command) throw new Error(`No worker for ${content}`);
  const message: ReceivedMessage = {
    ...{ kind: "received", id: "m", content, channelId: "c", userId: "u" },
    ...{ conversationId: 1, isAddressed: true, createdAt },
  };
  const events: { kind: string; content: string }[] = [];
  const text = content.slice(worker.command.length).trim();
  if (!worker.args) throw new Error(`${worker.name} has no typed arguments`);
  const args = await parseArguments(text, worker.args);
  if (!args.ok) return [{ kind: "failed", content: wrongArgumentsText(worker, args.problems) }];
  await worker.handle(message, args.value, {
    emit: async (kind, content) => void events.push({ kind, content }),
    signal: new AbortController().signal,
    text,
    attempt,
    log: silentLogger,
    control: idleControl,
    ...contextWithoutRun,
  });
  return events;
}

test("a task is created, listed and shown", async () => {
  const created = await say(
    '/task create key=proj-7 summary="Fix the login page" description="It hangs" repo=https://h/a.git',
  );
  expect(created).toEqual([
    {
      kind: "completed",
      content:
        "Created **PROJ-7**: Fix the login page\n- https://h/a.git\n\nStart it with `/run-task PROJ-7`",
    },
  ]);

  expect(await say("/task list status=pending project=proj")).toEqual([
    { kind: "completed", content: "- **PROJ-7** pending: Fix the login page" },
  ]);
  expect(await say("/task list status=done")).toEqual([{ kind: "completed", content: "No tasks" }]);
  expect(await say("/task show proj-7")).toEqual([
    {
      kind: "completed",
      content: "**PROJ-7** pending: Fix the login page\n\nIt hangs\n\n- https://h/a.git: pending",
    },
  ]);
});

test.each([
  [
    "/task create",
    "- key is missing: give a text (the task, as its tracker names it: PROJ-123)\n" +
      "- summary is missing: give a text (what is to be done, in one line)\n\n" +
      "Usage: `/task create <key> <summary> [--description <text>] [--assignee <text>] [--repo <text>]…`",
  ],
  [
    '/task create key=A-1 summary=" "',
    'Cannot create task "A-1": it has no summary\nSay in one line what is to be done, as in: Fix the login page',
  ],
  [
    "/task create proj7 Fix it",
    '"proj7" is not a task key\nWrite the project, a dash and a number, as in PROJ-123',
  ],
  ["/task create key=A-1 summary=Fix the page", '"the"; put what has several words in quotes'],
  ["/task create key=A-1 summary=x repos=https://h/a.git", "did you mean repo=?"],
  [
    "/task create key=DEMO-1 summary=x",
    'There is a task "DEMO-1" already\nLook at it with /task show DEMO-1, or choose another key',
  ],
  ["/task create key=A-1 summary=x repo=http://h/a", "Cannot use this repository"],
  [
    "/task list status=open",
    'status must be pending, in_progress, done, failed or unfinished, not "open"\n\nUsage: `/task list [status:pending|',
  ],
  ["/task list stats=done", "did you mean status=?"],
  ["/task show A-9", 'There is no task "A-9"'],
  ["/task show", "key is missing"],
  ["/run-task", "key is missing"],
  ["/run-task DEMO-1 dry=true", "I do not know dry="],
  ["/run-task A-9", 'There is no task "A-9"'],
  ["/run-task DEMO-1 agent=nobody", 'There is no agent "nobody"\nKnown here: scripted'],
  ["/run-task DEMO-1 budget=0", "budget must be"],
])("%s is answered with what to do", async (content, answer) => {
  const events = await say(content);

  expect(events).toEqual([{ kind: "failed", content: expect.stringContaining(answer) }]);
});

test.each([
  '/task create key=proj-7 summary="Fix the page" description="It hangs" repo=https://h/a.git,https://h/b.git',
  '/task create repo=https://h/a.git KEY=PROJ-7 repo=https://h/b.git Description="It hangs" summary=“Fix the page”',
  "/task create PROJ-7 Fix the page repo=https://h/a.git --repo https://h/b.git --description='It hangs'",
])("%s makes the same task", async (content) => {
  await say(content);
  expect(await world.options.tasks.get("PROJ-7")).toMatchObject({
    ...{ summary: "Fix the page", description: "It hangs" },
    repositories: [{ url: "https://h/a.git" }, { url: "https://h/b.git" }],
  });
});

test("a second attempt at a message recognises the task that the first one made", async () => {
  const createdAt = Date.now() - 1;
  const content = '/task create key=A-1 summary="Do it"';
  const first = await say(content, { createdAt });

  expect(await say(content, { createdAt, attempt: 2 })).toEqual(first);
  expect(await say(content, { createdAt: Date.now() + 1000, attempt: 2 })).toMatchObject([
    { kind: "failed" },
  ]);
});

test("/run-task reports its start, its progress, and the pull request with the diff stat", async () => {
  const { texts } = await world.run("DEMO-1");

  const kinds = texts.map((text) => text.split(":", 1)[0]);
  expect(kinds).toEqual(["started", ...Array.from({ length: 5 }, () => "progress"), "completed"]);
  const answer = texts.at(-1);
  expect(answer).toContain("**DEMO-1** is ready for review");
  expect(answer).toContain("Pull request: robson://pull/1 (`robson pull-requests show 1`)");
  expect(answer).toContain("Branch: `robson/DEMO-1-the-first-line-of-a-bill-is-not-counted`");
  expect(answer).toContain("1 file changed");
  expect(answer).toMatch(/- `npm test` passed/);
});

test("a budget is refused for an agent that cannot be held to one", async () => {
  const { run } = world.options.agent;
  world.options.agents = [{ name: "spender", run }];

  await expect(world.run("", { text: "/run-task DEMO-1 agent=spender budget=1" })).rejects.toThrow(
    'The agent "spender" cannot be held to a budget',
  );
});

test("an agent that asks for no leave is refused where a person is to be asked", async () => {
  const { run } = world.options.agent;
  world.options.agents = [{ name: "silent", asksLeave: false, run }];
  world.options.permissions = "ask";

  await expect(world.run("", { text: "/run-task DEMO-1 agent=silent" })).rejects.toThrow(
    /^Cannot do this under workflow\.permissions: the agent "silent" asks for no leave, so "ask" cannot be held\nName an agent/,
  );
});

test("what the agent used stands in the answer, in the pull request and with the run", async () => {
  world.script([{ file: "total.js", find: "let index = 1;", replace: "let index = 0;" }, { spend: 0.25 }]);

  const { texts, repositories } = await world.run("", { text: "/run-task DEMO-1 budget=2" });

  expect(texts.at(-1)).toContain("- Cost: $0.25");
  expect((await world.pullRequests.list())[0]?.body).toContain(
    "- Cost: $0.25\n- Tokens: unknown read, unknown written",
  );
  expect(repositories[0]?.usage).toMatchObject({ costUsd: 0.25 });
});

test("a run that its budget stops says what it cost and how to go on", async () => {
  world.script([{ spend: 3 }, { file: "total.js", find: "let index = 1;", replace: "let index = 0;" }]);

  await expect(world.run("", { text: "/run-task DEMO-1 budget=2" })).rejects.toThrow(
    /was stopped by its budget: it may cost \$2\.00, and has cost \$3\.00[\s\S]*budget=4/,
  );
});

test("/do makes a task of its own and does it", async () => {
  const { texts, conversationId } = await world.run("", {
    text: `/do The first line is not counted repo=${world.project.repoUrl}`,
  });

  expect(texts.at(-1)).toContain(
    `**DO-${conversationId}** is ready for review: The first line is not counted`,
  );
  expect(await world.tasks.get(`DO-${conversationId}`)).toMatchObject({ status: "done" });
});

test("/do without a repository says what to add", async () => {
  await expect(world.run("", { text: "/do Something" })).rejects.toThrow("Add repo= with its address");
});

test("/run-task with repo= has the task done there too", async () => {
  await world.create({ key: "DEMO-2", summary: "Nowhere yet" });
  await world.run("", { text: `/run-task DEMO-2 repo=${world.project.repoUrl}` });

  expect(await world.tasks.get("DEMO-2")).toMatchObject({
    status: "done",
    repositories: [{ status: "done" }],
  });
});

test("a task that names no repository is stored, and its asker hears how it can be run all the same", async () => {
  const [answer] = await say('/task create key=PROJ-8 summary="Somewhere"');

  expect(answer).toMatchObject({ kind: "completed", content: expect.stringContaining("repo=<url>") });
});
