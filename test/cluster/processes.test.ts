import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createDatabase } from "../../src/testing/postgres/index.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { LONG_LEASE_MS, PATIENTLY, startCluster } from "./cluster.ts";

const WORK = { threads: 60, messagesPerThread: 5 };
const TIMEOUT = { timeout: 120_000 };

test(
  "of three processes one is killed: another has its shards at once, and everything is answered once",
  TIMEOUT,
  async (t) => {
    const { url } = await createDatabase(t);
    const cluster = await startCluster(t, url, { leaseMs: LONG_LEASE_MS });
    const members = [await cluster.start(), await cluster.start(), await cluster.start()];
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 3, shards: 64 });

    const posting = cluster.post(members, WORK);
    await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBeGreaterThan(50);
    await members[1]?.kill();
    const killedAt = performance.now();
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });
    const takenOverMs = performance.now() - killedAt;
    await posting;

    await cluster.expectAllAnswered(WORK);
    // Well within the lease, which is for those who are frozen.
    expect(takenOverMs).toBeLessThan(LONG_LEASE_MS / 2);
  },
);

test(
  "a process that was frozen for longer than its lease is refused, ends, and has doubled nothing",
  TIMEOUT,
  async (t) => {
    const cluster = await startCluster(t, (await createDatabase(t)).url);
    const frozen = await cluster.start();
    const other = await cluster.start();
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });
    const posting = cluster.post([other, other, frozen], WORK);
    await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBeGreaterThan(50);

    frozen.signal("SIGSTOP");
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 1, shards: 64 });
    await posting;
    frozen.signal("SIGCONT");

    expect(await frozen.exited).toBe(3);
    expect(frozen.log.join("\n")).toContain("another process has taken it over");
    await cluster.expectAllAnswered(WORK);
  },
);

test("what a frozen process had started is gone when it wakes up", TIMEOUT, async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "plugin.mjs"), CHILD_PLUGIN);
  const cluster = await startCluster(t, (await createDatabase(t)).url);
  const more = `[[plugins]]\nuse = "${join(folder, "plugin.mjs")}"`;
  const frozen = await cluster.start({ more });
  await cluster.say(frozen, "/child");
  const pids = async () =>
    (await readFile(join(folder, "pids"), "utf8").catch(() => "")).split("\n").filter(Boolean).map(Number);
  await expect.poll(async () => (await pids()).length, PATIENTLY).toBe(1);
  expect((await pids()).map(isAlive)).toEqual([true]);

  const other = await cluster.start({ more });
  frozen.signal("SIGSTOP");
  await expect.poll(async () => (await pids()).length, PATIENTLY).toBe(2);
  frozen.signal("SIGCONT");

  expect(await frozen.exited).not.toBe(0);
  // Killed is not yet gone.
  const alive = async () => (await pids()).map(isAlive);
  await expect.poll(alive, PATIENTLY).toEqual([false, true]);
  expect(await other.stop()).toBe(0);
  await expect.poll(alive, PATIENTLY).toEqual([false, false]);
});

/** A worker with a child process, which it ends when it is told to stop. */
const CHILD_PLUGIN = `
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync } from "node:fs";
export const plugin = {
  name: "child",
  setup(host) {
    host.registerWorker({
      name: "child", description: "Starts a process", example: "/child", command: "/child",
      async handle(_message, _args, { signal }) {
        // Should the test fail half way, the end of its input ends it.
        const idle = "process.stdin.resume().on('end', () => process.exit())";
        const child = spawn(process.execPath, ["-e", idle], { stdio: ["pipe", "ignore", "ignore"] });
        signal.addEventListener("abort", () => child.kill("SIGKILL"));
        appendFileSync(import.meta.dirname + "/pids", child.pid + "\\n");
        await once(child, "exit");
      },
    });
  },
};
`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
