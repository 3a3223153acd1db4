/** Another program holds the SQLite file: writes wait for it, reads and the rest of the process do not. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { type FaultAgent, fault, PATIENTLY, startFaultAgent, TIMEOUT } from "./fault-agent.ts";

/** `npm run test:crash` sets the long form, in which writes wait longer than they may (10 s). */
const HOLD_MS = Number(process.env.ROBSON_HOLD_MS ?? 3000);
const MAX_BUSY_MS = 10_000;
/** SQLite waits 15 ms at a time; a busy machine may take longer. */
const MAX_LAG_MS = 500;

/** How long the event loop was held up at the most since it was asked last. */
const PLUGIN = `
  let maxLagMs = 0;
  let last = performance.now();
  setInterval(() => {
    maxLagMs = Math.max(maxLagMs, performance.now() - last - 5);
    last = performance.now();
  }, 5).unref();
  worker("lag", async (_message, _args, { emit }) => {
    await emit("completed", String(maxLagMs));
  });
  worker("lag-reset", async (_message, _args, { emit }) => {
    maxLagMs = 0;
    await emit("completed", "done");
  });
  worker("slow", async (_message, _args, { emit, text }) => { await sleep(500); await emit("completed", text); });`;

test("a program that holds the SQLite file for seconds delays what is to be written, and holds up nothing else", {
  timeout: TIMEOUT.timeout + 4 * HOLD_MS,
}, async (t) => {
  const location = join(await temporaryFolder(t), "robson.db");
  const agent = await startFaultAgent(t, { location, plugin: PLUGIN, limits: "fallback_poll_ms = 500" });
  const other = new DatabaseSync(location, { timeout: 5000 });
  t.onTestFinished(async () => other.close());

  // The machine may be busy with something else: the best of a few counts.
  let lagMs = await holdUp({ agent, other, round: 0 });
  for (let round = 1; round < 4 && lagMs >= MAX_LAG_MS; round += 1)
    lagMs = await holdUp({ agent, other, round });

  expect(lagMs).toBeLessThan(MAX_LAG_MS);
  await expect.poll(async () => (await agent.get("/readyz")).status, PATIENTLY).toBe(200);
  expect(new Set(agent.receiver.received.map(({ thread_ts }) => thread_ts)).size).toBe(
    agent.receiver.received.length,
  );
  expect(await agent.stop()).toBe(0);
});

/** Holds the file while messages come and workers end; all is answered then. How long the event loop was held up at the most. */
async function holdUp({
  agent,
  other,
  round,
}: {
  agent: FaultAgent;
  other: DatabaseSync;
  round: number;
}): Promise<number> {
  const slow = Array.from({ length: 20 }, (_, index) => `/slow ${round} ${index}`);
  await Promise.all(slow.map((content) => agent.say(content)));
  await agent.say(`/lag-reset ${round}`);
  await agent.expectAnswers([`/lag-reset ${round}`]);

  other.exec("begin immediate");
  const heldAt = performance.now();
  const posts = Promise.all(Array.from({ length: 30 }, (_, index) => agent.post(`/echo ${round} ${index}`)));
  for (let ms = 0; ms < HOLD_MS; ms += 100) {
    expect((await agent.get("/healthz")).status).toBe(200);
    await fault(Math.max(0, heldAt + ms - performance.now()));
  }
  if (HOLD_MS > MAX_BUSY_MS) {
    for (const { status, retryAfter, body } of await posts) {
      expect({ status, body }).toMatchObject({ status: 503, body: expect.stringContaining("STORE_BUSY") });
      expect(retryAfter).toBeGreaterThan(0);
    }
    expect(await agent.get("/readyz")).toMatchObject({
      status: 503,
      body: expect.stringContaining("locked"),
    });
  }
  other.exec("rollback");

  const accepted = (await posts).map(({ status }, index) =>
    status === 202 ? `/echo ${round} ${index}` : "",
  );
  if (HOLD_MS < MAX_BUSY_MS) expect(accepted).not.toContain("");
  await agent.expectAnswers([...slow, ...accepted.filter((content) => content !== "")]);
  await agent.say(`/lag ${round}`);
  await agent.expectAnswers([`/lag ${round}`]);
  return Number(agent.answersIn(`/lag ${round}`)[0]?.content);
}
