/** Clocks that are wrong: one that jumps by an hour under a running agent, and two of one cluster that differ by an hour. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../src/testing/databases.ts";
import { createDatabase } from "../../src/testing/postgres/index.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { LEASE_MS, startCluster } from "../cluster/cluster.ts";
import { PATIENTLY, startFaultAgent, TIMEOUT } from "./fault-agent.ts";
import { startSickReceiver } from "./sick-receiver.ts";

const HOUR_MS = 3_600_000;

/** Fails until it is told to go on; then what waits for its next attempt has its answer. */
const PLUGIN = `
  worker("again", async (_message, _args, { emit }) => {
    if (!existsSync(folder + "/go-on")) throw new Error("not yet");
    await emit("completed", "at last");
  });
  worker("time", async (_message, _args, { emit }) => emit("completed", String(Date.now())));
  worker("slow", async (_message, _args, { emit, text }) => { await sleep(1500); await emit("completed", text); });`;

const LIMITS = `lease_ms = ${LEASE_MS}\nmax_message_attempts = 100\nmax_delivery_attempts = 100\nworker_timeout_ms = 60000`;

describe.each(databaseKinds)("on $name", ({ create }) => {
  test.for([
    { name: "forwards", jumpMs: HOUR_MS },
    { name: "backwards", jumpMs: -HOUR_MS },
  ])(
    "a clock that jumps $name by an hour ends no worker, holds up no attempt, and doubles nothing",
    TIMEOUT,
    async ({ jumpMs }, t) => {
      const clock = await shiftedClock(await temporaryFolder(t), 0);
      const agent = await startFaultAgent(t, {
        ...{ location: await create(t), plugin: PLUGIN, limits: LIMITS },
        nodeArgs: clock.nodeArgs,
      });
      const slow = Array.from({ length: 10 }, (_, index) => `/slow ${index}`);
      await Promise.all(["/again", ...slow].map((content) => agent.say(content)));
      await expect.poll(() => agent.logged("message attempt failed").length, PATIENTLY).toBeGreaterThan(0);
      const sick = await startSickReceiver(t, (socket) => socket.end("HTTP/1.1 503 No\r\n\r\n"));
      await agent.say("/echo later", { callback: sick.url });
      await expect.poll(() => agent.logged("delivery attempt failed").length, PATIENTLY).toBeGreaterThan(2);

      await clock.set(jumpMs);
      await expect
        .poll(async () => {
          await agent.say(`/time ${Math.random()}`, { thread: "time" });
          return Math.abs(Number(agent.answersIn("time").at(-1)?.content) - Date.now() - jumpMs);
        }, PATIENTLY)
        .toBeLessThan(HOUR_MS / 2);
      await agent.touch("go-on");
      sick.heal();
      const echoes = Array.from({ length: 20 }, (_, index) => `/echo ${index}`);
      await Promise.all(echoes.map((content) => agent.say(content)));

      await agent.expectAnswers(["/again", ...slow, ...echoes]);
      await expect.poll(() => sick.taken.size, PATIENTLY).toBe(1);
      expect(agent.logged("message dead")).toEqual([]);
      expect(agent.answersIn("/again")).toMatchObject([{ content: "at last" }]);
      expect(await agent.get("/readyz")).toMatchObject({ status: 200 });
      expect(await agent.stop()).toBe(0);
    },
  );
});

test(
  "two processes on PostgreSQL whose clocks differ by an hour keep their leases, and answer everything once",
  TIMEOUT,
  async (t) => {
    const folder = await temporaryFolder(t);
    const ahead = await shiftedClock(folder, HOUR_MS);
    const leaseMs = 2 * LEASE_MS;
    const cluster = await startCluster(t, (await createDatabase(t)).url, { leaseMs });
    const members = [await cluster.start(), await cluster.start({ nodeArgs: ahead.nodeArgs })];
    const both = { processes: 2, shards: 64 };
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject(both);
    const work = { threads: 40, messagesPerThread: 5 };

    await cluster.post(members, work);
    await cluster.expectAllAnswered(work);
    // Longer than a lease: nobody takes the other for gone.
    const until = performance.now() + 1.5 * leaseMs;
    while (performance.now() < until) expect(await cluster.holders()).toMatchObject(both);

    await members[1]?.kill();
    const killedAt = performance.now();
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 1, shards: 64 });
    expect(performance.now() - killedAt).toBeLessThan(leaseMs);
    expect(await members[0]?.stop()).toBe(0);
  },
);

/** What makes the clock of an agent one that the test sets. */
async function shiftedClock(folder: string, shiftMs: number) {
  const file = join(folder, "shift");
  const set = (ms: number) => writeFile(file, String(ms));
  await set(shiftMs);
  const preloaded = new URL("./shifted-clock.mjs", import.meta.url);
  preloaded.searchParams.set("file", file);
  return { set, nodeArgs: ["--import", preloaded.href] };
}
