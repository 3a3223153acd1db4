/** `robson stop` as a process of its own: kept where nobody runs the loop, and truthful about what is not open. */
import { describe, expect, test } from "vitest";
import { openStore } from "../../store/open-store.ts";
import { aMessage } from "../../testing/builders.ts";
import { databaseKinds } from "../../testing/databases.ts";
import { aFolder, robson, startAgentProcess } from "../robson-process.fixture.ts";

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a message that is stopped before any process runs the loop is never begun", async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    t.onTestFinished(() => store.close());
    await store.insertUnowned(aMessage({ gateway: "cli", content: "/echo hello", createdAt: Date.now() }));
    const cwd = aFolder();
    const run = (...args: string[]) => robson(cwd, "--db", location, ...args);

    const stopped = await run("stop", "message-1");
    expect(stopped).toMatchObject({ stdout: "message-1 is being stopped\n", exitCode: 0 });
    expect(stopped.stderr).toContain("No process runs the loop now");
    expect((await run("--json", "stop", "1")).stdout).toBe('{"conversationId":1,"isStopping":true}\n');
    expect((await run("why", "1")).stdout).toContain("has stopped it");

    const agent = await startAgentProcess(cwd, "--db", location);
    await expect
      .poll(async () => (await store.conversation(1))?.status, { timeout: 20_000, interval: 20 })
      .toBe("done");
    agent.child.kill("SIGTERM");
    await agent.finished;
    const events = await store.events(1);
    expect(events).toMatchObject([{ kind: "failed", content: expect.stringContaining("Stopped by") }]);
    const late = await run("stop", "1");
    expect(late).toMatchObject({ stdout: "", exitCode: 1 });
    expect(late.stderr).toContain("Cannot stop message-1: it is not open");
  }, 180_000);
});
