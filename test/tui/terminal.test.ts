import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { robson } from "../../src/cli/robson-process.fixture.ts";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { createDemoProject } from "../../src/workflow/demo-project.ts";
import { startTerminal } from "./terminal.fixture.ts";

/** Each test starts whole processes, one after another, on a machine that may be busy. */
vi.setConfig({ testTimeout: 120_000 });

const READY = "› Type a message, or /help";
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const UP = "\u001b[A";

const MARKDOWN = `# What was done

Fixed **the sum** in \`total.js\`, *not* ~~the format~~; see [the change](https://example.org/1).

1. read the ticket
2. ran the tests
   - all of them
- [x] verified
- [ ] reviewed

> The first line of a bill
> is not counted

| file | lines |
|------|------:|
| \`total.js\` | 1 |
| test/total.test.js | 12 |

\`\`\`js
let index = 0;
\`\`\`
---
The end.`;

async function aFolder(t: TestEnd): Promise<string> {
  const cwd = await temporaryFolder(t);
  writeFileSync(join(cwd, "robson.toml"), "[server]\nport = 0\n");
  return cwd;
}

/** A folder in which `/run-task DEMO-1` takes until it is stopped; the last that it says, and for long, is "sleep: 60". */
async function aFolderWithLongTask(t: TestEnd, stopGraceMs: number): Promise<string> {
  const cwd = await temporaryFolder(t);
  const settings = [
    `limits.stop_grace_ms = ${stopGraceMs}`,
    "workflow.allow_file_repositories = true",
    "workflow.limits.progress_interval_ms = 100",
    'agents.scripted.script = "agent-script.json"',
    "server.port = 0",
  ];
  writeFileSync(join(cwd, "robson.toml"), `${settings.join("\n")}\n`);
  const { task } = await createDemoProject(cwd, { signal: AbortSignal.timeout(60_000) });
  const [url = ""] = task.repoUrls ?? [];
  await robson(cwd, "task", "create", "--key", task.key, "--summary", task.summary, "--repo-url", url);
  writeFileSync(join(cwd, "agent-script.json"), '[{ "run": ["sleep", "60"] }]');
  return cwd;
}

test("it starts with whom one talks with, and an input line; Ctrl-D ends it", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);
  await terminal.looksLike("empty-start");

  terminal.press(CTRL_D);
  expect(await terminal.exited).toBe(0);
  await terminal.sees("Stopped. What has not ended is kept for the next start.");
});

test("/help is answered with every command", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);

  terminal.press("/help\r");
  await terminal.sees("Answers with the same text");
  await terminal.looksLike("help");
});

test("a failed answer says why and what to do", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);

  terminal.press("/task show NOPE-1\r");
  await terminal.sees("✗ ");
  await terminal.looksLike("failed-answer");
});

test("a command is completed by Tab, and the menu lists what it may be", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);

  terminal.press("/ta\t");
  await terminal.sees("▸ /task create");
  terminal.press("\t");
  await terminal.sees("▸ /task list");
  await terminal.looksLike("completion-menu");

  terminal.press("\r");
  await terminal.sees("› /task list\n");
  terminal.press("st\t");
  await terminal.sees("› /task list status=");
});

test("a pasted text is a block, and sent as one message", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);

  terminal.press("/echo ");
  terminal.paste("one\n- two 漢字\n\n```\ncode 😀\n```\n");
  await terminal.sees("code 😀");
  await terminal.looksLike("multi-line-paste");

  terminal.press("\r");
  await terminal.sees("• two 漢字");
  await terminal.looksLike("multi-line-answer");
});

test("Markdown in an answer is rendered", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t), rows: 50 });
  await terminal.sees(READY);

  terminal.press("/echo ");
  terminal.paste(MARKDOWN);
  terminal.press("\r");
  await terminal.sees("The end.\n\n› Type");
  await terminal.looksLike("markdown-answer");
  expect(terminal.written).toContain("\u001b[1m\u001b[4mWhat was done");
});

test("running work is one block that changes, and a stop says what becomes of it", async (t) => {
  const cwd = await aFolderWithLongTask(t, 8000);
  const terminal = startTerminal(t, { cwd, columns: 100 });
  await terminal.sees(READY);

  terminal.press("/run-task DEMO-1\r");
  await terminal.sees("⠋ /run-task DEMO-1 · sleep: 60");
  // Long work does not hold up its thread.
  terminal.press("/echo goes past it\r");
  await terminal.sees("● goes past it");
  await terminal.looksLike("running-with-progress");

  terminal.press(CTRL_C);
  await terminal.sees("Stopping; work under way has 8 s to end.");
  await terminal.looksLike("stopping");
  expect(await terminal.exited).toBe(0);
  await terminal.looksLike("stopped");
});

test("a second Ctrl-C ends at once, and the terminal is given back", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolderWithLongTask(t, 60_000) });
  await terminal.sees(READY);
  terminal.press("/run-task DEMO-1\r");
  await terminal.sees("sleep: 60");

  terminal.press(CTRL_C);
  await terminal.sees("Stopping");
  terminal.press(CTRL_C);

  expect(await terminal.exited).toBe(130);
  expect(terminal.written.lastIndexOf("\u001b[?25h")).toBeGreaterThan(
    terminal.written.lastIndexOf("\u001b[?25l"),
  );
  expect(terminal.written.lastIndexOf("\u001b[?2004l")).toBeGreaterThan(
    terminal.written.lastIndexOf("\u001b[?2004h"),
  );
});

test("on a narrow screen no row is wider than it, and answers are broken between words", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t), columns: 40 });
  await terminal.sees(READY);

  terminal.press("/echo A *long* answer, with a name_that_has_underscores and `some code` in it\r");
  await terminal.sees("in it\n\n› Type");
  terminal.press("a line that is longer than the narrow screen has columns");
  await terminal.sees("columns");
  await terminal.looksLike("narrow");
});

test("after a resize the input line is laid out anew, and nothing is left over", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);
  terminal.press("/echo **hello**\r");
  await terminal.sees("● hello");
  terminal.press("a line of words that needs only one row, until the screen is narrow");
  await terminal.sees("narrow");

  terminal.resize(50, 20);
  await terminal.sees(/^50x20/u);
  await terminal.looksLike("after-resize");
});

test("what was typed is there at the next start, for its user alone", async (t) => {
  const cwd = await aFolder(t);
  const first = startTerminal(t, { cwd });
  await first.sees(READY);
  first.press("/echo remember me\r");
  await first.sees("● remember me");
  first.press(CTRL_D);
  await first.exited;

  const second = startTerminal(t, { cwd });
  await second.sees(READY);
  second.press(UP);
  await second.sees("› /echo remember me");
  const file = join(cwd, ".robson-history");
  expect(readFileSync(file, "utf8")).toBe('"/echo remember me"\n');
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("escape sequences in an answer are shown, and do nothing", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t) });
  await terminal.sees(READY);
  terminal.press("/echo ");
  terminal.press("\u001b[200~\u001b]0;owned\u0007\u001b[2Jx\u001b[201~\r");
  await terminal.sees("● ␛]0;owned␇␛[2Jx");
  expect(terminal.written).not.toContain("\u001b]0;");
});

test("NO_COLOR takes the colors and leaves the text", async (t) => {
  const terminal = startTerminal(t, { cwd: await aFolder(t), env: { NO_COLOR: "1" } });
  await terminal.sees(READY);
  terminal.press("/echo `code` and **bold**\r");
  await terminal.sees("● code and bold");
  expect(terminal.written).not.toMatch(/\[(?:\d+;)*(?:3[0-7]|9[0-7]|4[0-7])(?:;\d+)*m/u);
  expect(terminal.written).toContain("\u001b[1mbold");
});

test("an answer that a killed terminal never showed is shown by the next one", async (t) => {
  const cwd = await aFolderWithLongTask(t, 60_000);
  const first = startTerminal(t, { cwd });
  await first.sees(READY);
  first.press("/run-task DEMO-1\r");
  await first.sees("sleep: 60");
  first.kill();
  await first.exited;
  writeFileSync(
    join(cwd, "agent-script.json"),
    '[{ "file": "total.js", "find": "index = 1", "replace": "index = 0" }]',
  );

  const second = startTerminal(t, { cwd });
  await second.sees("↳ message 1");
  await second.sees("DEMO-1 is ready for review");
});
