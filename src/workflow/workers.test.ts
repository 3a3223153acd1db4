import { afterEach, beforeEach, expect, test } from "vitest";
import { parseArguments } from "../core/arguments/parse-arguments.ts";
import { wrongArgumentsText } from "../core/help.ts";
import { silentLogger } from "../core/logger.ts";
import type { ReceivedMessage } from "../core/message-event.ts";
import { idleControl } from "../testing/builders.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { workflowWorkers } from "./workers.ts";

let world: DemoWorkflow;

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
  ["/run-task DEMO-1 dry=true", '"DEMO-1 dry=true" is not a task key'],
  ["/run-task A-9", 'There is no task "A-9"'],
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
  const events = await say("/run-task DEMO-1");

  const kinds = events.map(({ kind }) => kind);
  expect(kinds).toEqual(["started", "progress", "progress", "progress", "progress", "completed"]);
  const answer = events.at(-1)?.content;
  expect(answer).toContain("**DEMO-1** is ready for review");
  expect(answer).toContain("Pull request: robson://pull/1 (`robson pull-requests show 1`)");
  expect(answer).toContain("Branch: `robson/DEMO-1-the-first-line-of-a-bill-is-not-counted`");
  expect(answer).toContain("1 file changed");
  expect(answer).toContain("- `npm test` passed");
});

test("a task that names no repository is stored, and its asker hears that it cannot be run", async () => {
  const [answer] = await say('/task create key=PROJ-8 summary="Somewhere"');

  expect(answer).toMatchObject({ kind: "completed", content: expect.stringContaining("repo=<url>") });
});

test("a run that finds its work done emits as many events as one that does it, so that none takes another's place", async () => {
  const first = await say("/run-task DEMO-1");
  const second = await say("/run-task DEMO-1");

  expect(second.map(({ kind }) => kind)).toEqual(first.map(({ kind }) => kind));
  expect(second.at(-1)).toEqual(first.at(-1));
});

test("two requests for one task at the same moment make one pull request", async () => {
  const workers = workflowWorkers(world.options);

  const [first, second] = await Promise.all([
    say("/run-task DEMO-1", { workers }),
    say("/run-task DEMO-1", { workers }),
  ]);

  expect(second.at(-1)).toEqual(first.at(-1));
  expect(await world.pullRequests.list()).toHaveLength(1);
});

test("a run that fails rejects with what the loop needs to answer", async () => {
  world.script([{ say: "nothing" }]);

  await expect(say("/run-task DEMO-1")).rejects.toMatchObject({
    code: "AGENT_FAILED",
    retry: "never",
    hint: expect.any(String),
  });
});
