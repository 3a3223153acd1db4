/**
 * A task whose process is killed at one and the same step, until its run is given up: what its asker reads, what is on
 * record, and that the command which he is told makes one result of it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runState } from "../../src/plugins/operator/run-lines.ts";
import { databaseKinds } from "../../src/testing/databases.ts";
import { openDemoWorkflow } from "../../src/testing/demo-workflow.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";

const PROGRAM = fileURLToPath(new URL("../../src/testing/run-demo-task.ts", import.meta.url));
const MAX_INTERRUPTIONS = 3;

/** Works on the task in a process of its own, which dies in the agent's turn. */
async function workUntilKilled(directory: string, location: string) {
  const env = {
    ...process.env,
    ROBSON_DIE_AT: "origin: agent 1: begun",
    ROBSON_MAX_INTERRUPTIONS: String(MAX_INTERRUPTIONS),
  };
  const args = ["--disable-warning=ExperimentalWarning", PROGRAM, directory, location];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let printed = "";
  child.stderr.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const [code, signal] = await once(child, "close");
  return { code, signal, printed };
}

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a task whose process is killed again and again is given up, and goes on when a person says so", {
    timeout: 300_000,
  }, async (t) => {
    const [directory, location] = [await temporaryFolder(t), await create(t)];
    for (let count = 0; count < MAX_INTERRUPTIONS; count += 1)
      expect(await workUntilKilled(directory, location)).toMatchObject({ signal: "SIGKILL" });
    expect(await workUntilKilled(directory, location)).toMatchObject({ code: 1 });

    const world = await openDemoWorkflow({ directory, location });
    t.onTestFinished(() => world.close());
    const [{ conversationId: id } = { conversationId: 0 }, ...others] = await world.store.runs.runs({});
    expect(others).toEqual([]);
    const ends = (await world.store.events(id)).filter(({ kind }) => kind === "failed");
    const why = `The process ended 3 times during run ${id}, at the same step`;
    expect(ends.map(({ content }) => content)).toEqual([
      `I could not do this: ${why}
Look in the log for what stopped the process before you try it again. (Run ${id} keeps what is done: \`/retry ${id}\` goes on with it, \`/logs ${id}\` shows how far it came.)`,
    ]);
    expect(await world.tasks.get("DEMO-1")).toMatchObject({
      status: "failed",
      error: why,
      repositories: [{ status: "failed", error: why }],
    });
    const run = await world.store.runs.run(id);
    expect(run && runState(run, { now: run.endedAt ?? 0, commands: "robson runs " })).toMatch(
      new RegExp(`^a dead letter .*${why}; \`robson runs retry ${id}\` goes on after its 5 finished steps$`),
    );
    expect(await world.pullRequests.list()).toEqual([]);

    await world.retry();

    expect((await world.tasks.get("DEMO-1")).error).toBeUndefined();
    expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
    expect(await world.pullRequests.list()).toHaveLength(1);
    expect(await world.branches()).toHaveLength(2);
    expect(await world.store.deadLetters({ limit: 1 })).toEqual([]);
  });
});
