/** A worker that computes without a pause: nothing else of its process moves, and on PostgreSQL another takes over. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createDatabase } from "../../src/testing/postgres/index.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { LEASE_MS, startCluster } from "../cluster/cluster.ts";
import { PATIENTLY, pluginSource, startFaultAgent, TIMEOUT } from "./fault-agent.ts";

/** Well beyond the lease; `npm run test:crash` sets the long form. */
const BLOCK_MS = Number(process.env.ROBSON_BLOCK_MS ?? 6000);

/** It blocks in its first attempt alone. */
const BLOCK = `
  worker("block", async (_message, _args, { emit }) => {
    await sleep(200);
    if (!existsSync(folder + "/blocked")) {
      writeFileSync(folder + "/blocked", "");
      for (const end = performance.now() + ${BLOCK_MS}; performance.now() < end; );
    }
    await emit("completed", "unblocked");
  });`;

test("a worker that blocks the process for longer than the lease delays all on SQLite, and loses nothing", {
  timeout: TIMEOUT.timeout + 2 * BLOCK_MS,
}, async (t) => {
  const location = join(await temporaryFolder(t), "robson.db");
  const agent = await startFaultAgent(t, { location, plugin: BLOCK, limits: `lease_ms = ${LEASE_MS}` });
  await agent.say("/block");
  const echoes = Array.from({ length: 100 }, (_, index) => `/echo ${index}`);

  const startedAt = performance.now();
  await Promise.all(echoes.map((content) => agent.say(content)));
  await agent.expectAnswers(["/block", ...echoes]);

  // It is one attempt, and nobody has taken anything over.
  expect(performance.now() - startedAt).toBeGreaterThan(BLOCK_MS / 2);
  expect(agent.answersIn("/block")).toMatchObject([{ content: "unblocked" }]);
  expect(agent.logged("message attempt was interrupted")).toEqual([]);
  expect(agent.receiver.received).toHaveLength(101);
  expect(await agent.stop()).toBe(0);
});

test("a process on PostgreSQL that a worker blocks for longer than the lease is replaced, refused, and ends", {
  timeout: TIMEOUT.timeout + 2 * BLOCK_MS,
}, async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, "plugin.mjs");
  await writeFile(file, pluginSource(BLOCK));
  const cluster = await startCluster(t, (await createDatabase(t)).url);
  const more = `[[plugins]]\nuse = "${file}"`;
  const members = [await cluster.start({ more }), await cluster.start({ more })];
  const work = { threads: 40, messagesPerThread: 1 };
  await cluster.post(members, work);
  await cluster.expectAllAnswered(work);

  // Whichever has its shard is the one that is blocked.
  if (members[0]) await cluster.say(members[0], "/block");
  const ends = members.map(async (member) => ({ code: await member.exited, member }));
  const { code, member: blocked } = await Promise.race(ends);
  const others = members.filter((member) => member !== blocked);
  await cluster.post(others, { ...work, messagesPerThread: 2 });

  expect(code).toBe(3);
  expect(blocked.log.join("\n")).toContain("another process has taken it over");
  const answers = () => cluster.receiver.received.filter(({ thread_ts }) => thread_ts === "/block");
  await expect.poll(answers, PATIENTLY).toMatchObject([{ content: "unblocked" }]);
  const echoes = () => cluster.receiver.received.filter(({ thread_ts }) => thread_ts !== "/block");
  await expect.poll(() => echoes().length, PATIENTLY).toBe(2 * work.threads);
  for (const other of others) expect(await other.stop()).toBe(0);
  expect(answers()).toHaveLength(1);
});
