import { once } from "node:events";
import { readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDatabase } from "../testing/postgres/index.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { createDemoProject } from "../workflow/demo-project.ts";
import { aFolder, robson, startAgentProcess, startRobson } from "./robson-process.fixture.ts";

/** A folder in which `/run-task DEMO-1` takes until it is stopped. */
async function aFolderWithLongTask(stopGraceMs: number): Promise<string> {
  const cwd = aFolder({
    "robson.toml": [
      `limits.stop_grace_ms = ${stopGraceMs}`,
      "workflow.allow_file_repositories = true",
      'agents.scripted.script = "agent-script.json"',
      "",
    ].join("\n"),
  });
  const { task } = await createDemoProject(cwd, { signal: AbortSignal.timeout(60_000) });
  writeFileSync(join(cwd, "agent-script.json"), '[{ "run": ["sleep", "20"] }]');
  const [url = ""] = task.repoUrls ?? [];
  await robson(cwd, "task", "create", "--key", task.key, "--summary", task.summary, "--repo-url", url);
  return cwd;
}

test("without an agent a message is handled by the command itself, and the answer stands alone on stdout", async () => {
  expect(await robson(aFolder(), "send", "/echo hello", "world")).toEqual({
    stdout: "hello world\n",
    stderr: "",
    exitCode: 0,
  });
});

test("with --json each event is one line", async () => {
  const { stdout } = await robson(aFolder(), "send", "--json", "/echo hello");
  expect(JSON.parse(stdout)).toMatchObject({ conversationId: 1, kind: "completed", content: "hello" });
});

const DATABASES = {
  SQLite: async () => "robson.db",
  PostgreSQL: async (t: TestEnd) => (await createDatabase(t)).url,
};

describe.each(["SQLite", "PostgreSQL"] as const)("on %s", (name) => {
  test("a message that comes beside an agent is handled by the agent", async (t) => {
    const cwd = aFolder();
    const database = ["--db", await DATABASES[name](t)];
    const agent = await startAgentProcess(cwd, ...database);

    const waiting = await robson(cwd, "send", "--wait", "/echo from the agent", ...database);
    const handedOver = await robson(cwd, "send", "--json", "/echo later", ...database);
    agent.child.kill("SIGTERM");

    expect(waiting).toEqual({ stdout: "from the agent\n", stderr: "", exitCode: 0 });
    expect(JSON.parse(handedOver.stdout)).toEqual({ conversationId: 2, isDuplicate: false });
    expect((await agent.finished).exitCode).toBe(0);
  });
});

test("a second agent of a file is refused, and the first goes on", async () => {
  const cwd = aFolder();
  const database = ["--db", await DATABASES.SQLite()];
  const first = await startAgentProcess(cwd, ...database);

  const second = await robson(cwd, "agent", "--json", ...database);

  expect(second.exitCode).toBe(3);
  expect(JSON.parse(second.stderr.trim().split("\n").at(-1) ?? "")).toMatchObject({
    code: "ALREADY_RUNNING",
  });
  expect((await fetch(`${first.url}/readyz`)).status).toBe(200);
});

test("a second agent with other workers is refused on PostgreSQL, and the first goes on", async (t) => {
  const database = ["--db", await DATABASES.PostgreSQL(t)];
  const first = await startAgentProcess(aFolder(), ...database);
  const worker =
    '{ name: "other", description: "Another", example: "/other", command: "/other", handle() {} }';
  const cwd = aFolder({
    "robson.toml": '[[plugins]]\nuse = "./other.ts"\n',
    "other.ts": `export const plugin = { name: "other", setup: (host) => host.registerWorker(${worker}) };\n`,
  });

  const second = await robson(cwd, "agent", "--json", ...database);

  expect(second.exitCode).toBe(3);
  expect(JSON.parse(second.stderr.trim().split("\n").at(-1) ?? "")).toMatchObject({ code: "WORKERS_DIFFER" });
  expect((await fetch(`${first.url}/readyz`)).status).toBe(200);
  first.child.kill("SIGTERM");
  expect((await first.finished).exitCode).toBe(0);
});

test("a second agent of a PostgreSQL database works beside the first", async (t) => {
  const database = ["--db", await DATABASES.PostgreSQL(t)];
  const agents = [
    await startAgentProcess(aFolder(), ...database),
    await startAgentProcess(aFolder(), ...database),
  ];

  const sent = await robson(aFolder(), "send", "--wait", "/echo whoever", ...database);

  expect(sent).toEqual({ stdout: "whoever\n", stderr: "", exitCode: 0 });
  for (const { child, finished } of agents) {
    child.kill("SIGTERM");
    expect((await finished).exitCode).toBe(0);
  }
});

test("a message that an agent leaves behind is finished by the command that waits for it", async () => {
  const cwd = await aFolderWithLongTask(1);
  const agent = await startAgentProcess(cwd);
  const waiting = startRobson(cwd, ["run-task", "DEMO-1"]);
  await waiting.says(/Cloned/);
  // In one piece: the agent may be just about to read it.
  const [script, next] = [join(cwd, "agent-script.json"), join(cwd, "next-script.json")];
  writeFileSync(next, '[{ "file": "total.js", "find": "index = 1", "replace": "index = 0" }]');
  renameSync(next, script);
  agent.child.kill("SIGTERM");
  expect((await agent.finished).exitCode).toBe(0);
  const { stdout, exitCode } = await waiting.finished;
  expect(stdout).toContain("**DEMO-1** is ready for review");
  expect(exitCode).toBe(0);
});

test("a port that is taken is refused with what to do", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { exitCode, stderr } = await robson(aFolder({ "robson.toml": `server.port = ${port}\n` }), "agent");
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(new RegExp(`error: Cannot listen on 127.0.0.1:${port}: .*\nhint: `));
});

test("a second signal ends the agent at once", async () => {
  const cwd = await aFolderWithLongTask(60_000);
  const agent = await startAgentProcess(cwd);
  await robson(cwd, "send", "/run-task DEMO-1");
  const waiting = startRobson(cwd, ["send", "--wait", "/echo the agent is busy"]);
  expect((await waiting.finished).stdout).toBe("the agent is busy\n");
  agent.child.kill("SIGINT");
  await agent.says(/stopping; a second signal ends at once/);
  agent.child.kill("SIGINT");
  expect((await agent.finished).exitCode).toBe(130);
});

test("an interrupted command says that the message is kept", async () => {
  const cwd = await aFolderWithLongTask(1);
  const command = startRobson(cwd, ["run-task", "DEMO-1"]);
  await command.says(/Cloned/);
  command.child.kill("SIGINT");
  const { exitCode, stderr } = await command.finished;
  expect(exitCode).toBe(130);
  expect(stderr).toContain("Interrupted; the message is kept");
});

test("a command that is interrupted before its message is stored does not say that it is kept", async () => {
  const cwd = aFolder({
    "robson.toml": 'plugins = [{ use = "./slow.mjs" }]\n',
    "slow.mjs": `
      const alive = setInterval(() => {}, 1000);
      const interrupted = new Promise((resolve) => process.once("SIGINT", resolve));
      console.error("loading");
      await interrupted;
      clearInterval(alive);
      throw new Error("boom");
    `,
  });
  const command = startRobson(cwd, ["send", "/echo hello"]);
  await command.says(/loading/);
  command.child.kill("SIGINT");

  const { exitCode, stderr } = await command.finished;

  expect(exitCode).toBe(130);
  expect(stderr).toContain("Interrupted before the message was stored; send it again");
  expect((await robson(cwd, "conversations", "list")).stdout).toBe("");
});

test("a command that waits in vain ends with 1", async () => {
  const cwd = await aFolderWithLongTask(1);
  const { exitCode, stderr } = await robson(cwd, "run-task", "DEMO-1", "--timeout", "1");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("has not ended within 1 s; it is kept");
});

test("what a stranger wrote reaches no terminal as a command to it", async () => {
  const cwd = aFolder();
  const summary = "a \u001b]0;pwned\u0007\u001b[2J \u202e b";
  await robson(cwd, "task", "create", "--key", "A-1", "--summary", summary);

  const shown = [
    await robson(cwd, "task", "list"),
    await robson(cwd, "task", "show", "A-1"),
    await robson(cwd, "task", "show", "--json", "A-1"),
    await robson(cwd, "send", `/echo ${summary}`),
    await robson(cwd, `\u001b[2Jcommand`),
  ];

  for (const { stdout, stderr } of shown) {
    expect(stdout + stderr).toContain("\\u001b[2J");
    expect(stdout + stderr).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u);
  }
  expect(JSON.parse(shown[2]?.stdout ?? "")).toMatchObject({ summary });
});

test("the files of a database are for its user alone", async () => {
  const cwd = aFolder();
  const agent = await startAgentProcess(cwd);
  const files = readdirSync(cwd).filter((name) => name.startsWith("robson.db"));
  expect(files.length).toBeGreaterThan(3);
  for (const name of files) expect([name, statSync(join(cwd, name)).mode & 0o777]).toEqual([name, 0o600]);
  agent.child.kill("SIGTERM");
  expect((await agent.finished).exitCode).toBe(0);
});

test("settings of the webhook gateway that cannot be used are refused with their place", async () => {
  const refusal = async (toml: string) => {
    const { stderr, exitCode } = await robson(aFolder({ "robson.toml": toml }), "agent");
    expect(exitCode).toBe(2);
    return stderr;
  };
  const channel = await refusal('[webhook]\ndefault_channel = "http://127.0.0.1/x"\n');
  expect(channel).toMatch(
    /error: Cannot use .*robson.toml: line 2, column 1: webhook.default_channel: .*127/,
  );
  const hosts = await refusal('[webhook]\nallow_callback_hosts = ["ok:1", "http://no"]\n');
  expect(hosts).toMatch(/line 2, column 33: webhook.allow_callback_hosts: .*http:\/\/no/);
});

test("a reader who goes away early ends nothing", async () => {
  const cwd = aFolder();
  const command = startRobson(cwd, ["task", "list", "--json"]);
  command.child.stdout.destroy();
  const { exitCode, stderr } = await command.finished;
  expect([exitCode, stderr]).toEqual([0, ""]);
});
