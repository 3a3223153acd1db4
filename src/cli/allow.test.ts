/** Allow lists and limits on messages as an operator and a caller of the HTTP interface meet them. */
import { expect, test } from "vitest";
import { aFolder, robson, startAgentProcess, startListening } from "./robson-process.fixture.ts";

const PATIENTLY = { timeout: 20_000 };

function post(url: string, body: object) {
  return fetch(`${url}/message`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

test("a gateway that is listed answers 403 until its channel is allowed, with the command that allows it", async () => {
  const cwd = aFolder({ "robson.toml": '[access]\nlisted_gateways = ["webhook", "telegrm"]\n' });
  const agent = await startAgentProcess(cwd);
  const message = { content: "/echo hello", channel_id: "team" };

  const refused = await post(agent.url, message);
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({
    code: "CHANNEL_NOT_ALLOWED",
    hint: expect.stringContaining("robson allow add webhook team"),
  });
  expect(await robson(cwd, "allow", "add", "webhook", "team")).toMatchObject({
    stdout: expect.stringContaining("is allowed now"),
    stderr: "",
  });
  await expect.poll(async () => (await post(agent.url, message)).status, PATIENTLY).toBe(202);
  expect((await robson(cwd, "allow", "list")).stdout).toBe("webhook  team\n");
  expect((await robson(cwd, "--json", "allow", "list", "slack")).stdout).toBe("");
  expect((await robson(cwd, "allow", "remove", "webhook", "team")).stdout).toContain("not allowed any more");
  await expect.poll(async () => (await post(agent.url, message)).status, PATIENTLY).toBe(403);

  expect((await robson(cwd, "allow", "add", "No Gateway", "x")).exitCode).toBe(2);
  expect((await robson(cwd, "allow", "add", "webhok", "team")).stderr).toContain('did you mean "webhook"?');
  agent.child.kill("SIGTERM");
  const { stderr } = await agent.finished;
  expect(stderr).toMatch(/telegrm.*\[access\] names a gateway that does not run here/);
}, 180_000);

test("a user who sends too much gets 429 with the time to wait, from a server without a loop too", async () => {
  for (const command of ["server", "agent"]) {
    const cwd = aFolder({ "robson.toml": "[access]\nmax_user_messages = 2\n" });
    const running = await startListening(cwd, [command]);
    const user_id = `user of the ${command}`;
    const statuses: number[] = [];
    for (const content of ["/echo 1", "/echo 2", "/echo 3", "/status"]) {
      const response = await post(running.url, { content, user_id });
      statuses.push(response.status);
      if (response.status === 429) expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(50);
    }
    expect(statuses).toEqual([202, 202, 429, 202]);
    running.child.kill("SIGTERM");
    expect((await running.finished).exitCode).toBe(0);
  }
}, 180_000);
