/** Workers that misbehave: each alone pays for it, and whoever looks is told why. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../src/testing/databases.ts";
import { type FaultAgent, PATIENTLY, startFaultAgent, TIMEOUT } from "./fault-agent.ts";

const LIMITS = `max_message_attempts = 2
max_events_per_message = 300
worker_timeout_ms = 500
worker_abort_grace_ms = 100`;

const PLUGIN = `
  const PATIENT = { timeoutMs: 60_000 };
  worker("throws", () => { throw new Error("the disk of the worker is broken"); });
  worker("nothing", () => { throw undefined; });
  worker("object", async () => { throw Object.create(null); });
  worker("late", async () => { await sleep(5000); throw new Error("much too late"); });
  worker("never", () => new Promise(() => undefined));
  worker("deaf", async (_message, _args, { emit }) => { await sleep(5000); await emit("completed", "too late"); });
  worker("flood", async (_message, _args, { emit }) => {
    for (let index = 0; index < 100_000; index += 1) await emit("progress", "x".repeat(1000));
  }, PATIENT);
  worker("careless-flood", async (_message, _args, { emit }) => {
    for (let index = 0; index < 100_000; index += 1) emit("progress", "x".repeat(1000));
    emit("completed", "done");
  }, PATIENT);
  worker("chatty", async (_message, _args, { emit, log }) => {
    for (let index = 0; index < 20_000; index += 1) log.info({ index, text: "x".repeat(200) }, "chatter");
    await emit("completed", "said it all");
  }, PATIENT);
`;

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a worker that throws, hangs, floods or throws nothing fails alone, with its reason; the others go on", {
    ...TIMEOUT,
  }, async (t) => {
    const agent = await startFaultAgent(t, { location: await create(t), plugin: PLUGIN, limits: LIMITS });
    await agent.say("/echo warm");
    await agent.expectAnswers(["/echo warm"]);
    const idleBytes = memoryOf(agent);

    const bad: Record<string, RegExp> = {
      "/throws": /the disk of the worker is broken/,
      "/nothing": /undefined/,
      "/object": /has no text/,
      "/late": /took longer than 500 ms/,
      "/never": /took longer than 500 ms/,
      "/deaf": /took longer than 500 ms/,
      "/flood": /more than 300 events/,
      "/careless-flood": /more than 300 events/,
    };
    const ids = new Map<string, number>();
    for (const content of Object.keys(bad)) ids.set(content, await agent.say(content));
    const good = Array.from({ length: 50 }, (_, index) => `/echo ${index}`);
    await Promise.all([...good, "/chatty"].map((content) => agent.say(content)));

    await agent.expectAnswers([...good, "/chatty", ...Object.keys(bad)]);
    for (const [content, reason] of Object.entries(bad)) {
      const last = agent.answersIn(content).at(-1);
      expect(last).toMatchObject({ kind: "failed", content: expect.stringMatching(reason) });
      // Behind twenty thousand lines of the chatty one: its answer may be here before.
      const told = () =>
        agent.logged("message dead").filter((line) => line.conversationId === ids.get(content));
      await expect
        .poll(told, PATIENTLY)
        .toMatchObject([{ worker: content.slice(1), error: expect.stringMatching(reason) }]);
    }
    expect(agent.answersIn("/chatty")).toMatchObject([{ content: "said it all" }]);
    expect(agent.answersIn("/flood").length).toBeLessThanOrEqual(301);
    expect(await agent.why(ids.get("/never") ?? 0)).toMatch(/took longer than 500 ms/);
    expect(await agent.why(ids.get("/flood") ?? 0)).toMatch(/more than 300 events/);
    // Two of those that ran out of time go on all the same; the third hangs for ever.
    await expect
      .poll(() => agent.logged("worker goes on although its signal was aborted").length, PATIENTLY)
      .toBe(3);
    if (idleBytes !== undefined) expect((memoryOf(agent) ?? 0) - idleBytes).toBeLessThan(300 * 1024 * 1024);
    expect(await agent.get("/readyz")).toMatchObject({ status: 200 });
    expect(await agent.stop()).toBe(0);
  });
});

/** The most that it has had in memory; undefined where the system does not tell. */
function memoryOf({ pid }: FaultAgent): number | undefined {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return undefined;
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(file, "utf8")) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
