/** `robson server` as a process of its own: takes messages by HTTP for an agent that comes later. */
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../testing/databases.ts";
import { aFolder, startAgentProcess, startListening } from "../robson-process.fixture.ts";

const PATIENTLY = { timeout: 20_000 };

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("what it accepts is answered by an agent that is started after, and it shows the answer", async (t) => {
    const cwd = aFolder();
    const database = ["--db", await create(t)];
    const server = await startListening(cwd, ["server", ...database]);

    const response = await fetch(`${server.url}/message`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ content: "/echo for later" }),
    });
    const accepted = (await response.json()) as { conversation_id: number };
    const eventsAtServer = async () =>
      (await fetch(`${server.url}/conversations/${accepted.conversation_id}/events`)).json();
    expect([response.status, await eventsAtServer()]).toMatchObject([202, { events: [] }]);
    const agent = await startAgentProcess(aFolder(), ...database);

    await expect
      .poll(eventsAtServer, PATIENTLY)
      .toMatchObject({ events: [{ kind: "completed", content: "for later" }] });
    for (const running of [server, agent]) {
      running.child.kill("SIGTERM");
      expect((await running.finished).exitCode).toBe(0);
    }
  }, 180_000);

  test("it is ready without a loop, and two of them serve one database", async (t) => {
    const database = ["--db", await create(t)];
    for (const server of [
      await startListening(aFolder(), ["server", ...database]),
      await startListening(aFolder(), ["server", ...database]),
    ]) {
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
      server.child.kill("SIGTERM");
      expect((await server.finished).exitCode).toBe(0);
    }
  });
});
