/** `robson gateways status` beside one agent, and beside several on one database. */
import { expect, test } from "vitest";
import { databaseKinds } from "../../testing/databases.ts";
import { createDatabase } from "../../testing/postgres/database.ts";
import { aFolder, robson, startAgentProcess } from "../robson-process.fixture.ts";

const PATIENTLY = { timeout: 20_000, interval: 100 };

test.for(databaseKinds)(
  "the process that runs the loop is named, with its start, on $name",
  {
    timeout: 180_000,
  },
  async ({ create }, t) => {
    const location = await create(t);
    const cwd = aFolder();
    const agent = await startAgentProcess(cwd, "--db", location);
    const beside = aFolder({ "robson.toml": `server.port = ${new URL(agent.url).port}\n` });

    const { stdout } = await robson(beside, "--db", location, "gateways", "status");

    expect(stdout).toMatch(/^webhook +listening +open: 0 messages/m);
    const name = `process ${agent.child.pid}`;
    expect(stdout).toMatch(new RegExp(`^.*, ${name} runs the loop since .* UTC \\(.*\\)`, "m"));
    agent.child.kill("SIGTERM");
    await agent.finished;
    const after = await robson(beside, "--db", location, "gateways", "status");
    expect(after.stdout).not.toContain("runs the loop");
    expect(after.stderr).toContain("No process runs the loop");
  },
);

test("of several processes each is named, with what it holds of each gateway", async (t) => {
  const { url: location } = await createDatabase(t);
  const agents = [
    await startAgentProcess(aFolder(), "--db", location),
    await startAgentProcess(aFolder(), "--db", location),
  ];
  const [first] = agents;
  const beside = aFolder({ "robson.toml": `server.port = ${new URL(first?.url ?? "").port}\n` });
  const status = async (...args: string[]) =>
    (await robson(beside, "--db", location, ...args, "gateways", "status")).stdout;

  await expect.poll(() => status(), PATIENTLY).toMatch(/webhook \(32 of 64 shards\)/);
  const lines = (await status()).split("\n").filter((line) => line.includes("runs the loop since"));
  expect(lines).toHaveLength(2);
  for (const [index, { child }] of agents.entries())
    expect(lines[index]).toContain(`process ${child.pid} runs the loop since`);
  expect(lines[0]).toContain("webhook (32 of 64 shards, listening)");
  expect(lines[1]).toContain("webhook (32 of 64 shards)");
  const rows = (await status("--json")).trim().split("\n");
  const webhook = rows.map((row) => JSON.parse(row)).find(({ gateway }) => gateway === "webhook");
  expect(webhook).toMatchObject({
    state: "listening",
    processes: [
      { shards: 32, state: "listening" },
      { shards: 32, state: "unknown" },
    ],
  });
  for (const { child, finished } of agents) {
    child.kill("SIGTERM");
    await finished;
  }
}, 120_000);
