import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { freePort } from "../../src/cli/demo/free-port.ts";
import { robson, startRobson } from "../../src/cli/robson-process.fixture.ts";
import { type DatabaseKind, databaseKinds } from "../../src/testing/databases.ts";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { createDemoProject } from "../../src/workflow/demo-project.ts";
import { startTerminal } from "./terminal.fixture.ts";

/** Each test starts whole processes, one after another, on a machine that may be busy. */
vi.setConfig({ testTimeout: 120_000 });

const READY = "› Type a message, or /help";
const CTRL_C = "\u0003";
const UP = "\u001b[A";

/** A folder whose configuration names the database, with more settings of its own. */
async function aFolder(t: TestEnd, { create }: DatabaseKind, ...settings: string[]) {
  const [cwd, location] = await Promise.all([temporaryFolder(t), create(t)]);
  writeFileSync(join(cwd, "robson.toml"), `${[`database.url = "${location}"`, ...settings].join("\n")}\n`);
  return cwd;
}

describe.each(databaseKinds)("a terminal on $name", (kind) => {
  test("runs work, shows its progress, stops in order, and shows at the next start what came of it", async (t) => {
    const cwd = await aFolder(
      t,
      kind,
      "limits.stop_grace_ms = 1000",
      "workflow.allow_file_repositories = true",
      "workflow.limits.progress_interval_ms = 100",
      'agents.scripted.script = "agent-script.json"',
      "server.port = 0",
    );
    const { task } = await createDemoProject(cwd, { signal: AbortSignal.timeout(60_000) });
    const [url = ""] = task.repoUrls ?? [];
    await robson(cwd, "task", "create", "--key", task.key, "--summary", task.summary, "--repo-url", url);
    writeFileSync(join(cwd, "agent-script.json"), '[{ "run": ["sleep", "60"] }]');

    const first = startTerminal(t, { cwd, columns: 100 });
    await first.sees(READY);
    first.press("/ech\thello\r");
    await first.sees("● hello");
    first.press("/run-ta\tDEMO-1\r");
    await first.sees("⠋ /run-task DEMO-1 · sleep: 60");
    first.press(CTRL_C);
    await first.sees("Stopped. What has not ended is kept for the next start.");
    expect(await first.exited).toBe(0);

    writeFileSync(
      join(cwd, "agent-script.json"),
      '[{ "file": "total.js", "find": "index = 1", "replace": "index = 0" }]',
    );
    const second = startTerminal(t, { cwd, columns: 100 });
    await second.sees("DEMO-1 is ready for review");
    second.press(UP);
    await second.sees("› /run-task DEMO-1");
  });

  test("keeps its history where it belongs, whatever folder it is in", async (t) => {
    const cwd = await aFolder(t, kind, "server.port = 0");
    const terminal = startTerminal(t, { cwd });
    await terminal.sees(READY);
    terminal.press("/echo kept\r");
    await terminal.sees("● kept");

    expect(existsSync(join(cwd, ".robson-history"))).toBe(false);
    if (kind.name === "sqlite") return;
    // HOME of the terminal.
    expect(readFileSync(join(cwd, ".local/state/robson/history"), "utf8")).toBe('"/echo kept"\n');
  });

  test("attaches to a running agent, says when it is away, and goes on when it is back", async (t) => {
    const cwd = await aFolder(t, kind, `server.port = ${await freePort()}`);
    const agent = startRobson(cwd, ["agent"]);
    await agent.says(/listening for HTTP requests/);

    const terminal = startTerminal(t, { cwd, columns: 100 });
    await terminal.sees(/· Robson · attached to .+ at http/u);
    terminal.press("/echo **hi**\r");
    await terminal.sees("● hi");
    await terminal.looksLike("attached");

    agent.child.kill("SIGTERM");
    await agent.finished;
    await terminal.sees("No connection to the agent");
    terminal.press("/echo kept meanwhile\r");
    await terminal.sees("⠋ /echo kept meanwhile");
    await terminal.looksLike("attached-without-agent");

    startRobson(cwd, ["agent"]);
    // It tries again after up to 15 s.
    await terminal.sees("● kept meanwhile", 60_000);
    terminal.press(CTRL_C);
    expect(await terminal.exited).toBe(0);
  });
});
