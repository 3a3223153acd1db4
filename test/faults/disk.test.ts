/** The disk fills up under a running agent: what is new is refused, what was accepted waits, and nothing is lost. */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { withSmallDisk } from "../bad-databases.fixture.ts";
import {
  type FaultAgent,
  type FaultAgentOptions,
  PATIENTLY,
  startFaultAgent,
  TIMEOUT,
} from "./fault-agent.ts";

const CANNOT_MOUNT = "This machine cannot mount a small disk for the test of a full one";

/** Its answer is ready only after the disk is full. */
const PLUGIN = `
  worker("slow", async (_message, _args, { emit, text }) => {
    while (!existsSync(folder + "/go-on")) await sleep(10);
    await emit("completed", text);
  });`;

const CHATTY = `
  const timer = setInterval(() => host.log.info({}, "x".repeat(1000)), 2);
  worker("quiet", () => clearInterval(timer));`;

test(
  "a disk that fills up refuses new messages with 503, keeps the answers that wait, and goes on when there is space",
  TIMEOUT,
  async (t) => {
    const agent = await startOnSmallDisk(t, { plugin: PLUGIN });
    if (!agent) return t.skip(CANNOT_MOUNT);
    const slow = Array.from({ length: 20 }, (_, index) => `/slow ${index}`);
    await Promise.all(slow.map((content) => agent.say(content)));

    agent.fillDisk();
    const accepted: string[] = [];
    let refused = await agent.post("/echo 0");
    // The log of SQLite may have room of its own for a while.
    for (let index = 1; refused.status === 202; index += 1) {
      accepted.push(`/echo ${index - 1}`);
      refused = await agent.post(`/echo ${index}`);
    }
    await agent.touch("go-on");

    expect(refused).toMatchObject({ status: 503, body: expect.stringContaining("STORE_FULL") });
    expect(refused.retryAfter).toBeGreaterThan(0);
    await expect.poll(async () => (await agent.get("/readyz")).status, PATIENTLY).toBe(503);
    expect((await agent.get("/readyz")).body).toContain("full");
    expect((await agent.get("/healthz")).status).toBe(200);
    await expect.poll(() => agent.logged("database takes no writes").length, PATIENTLY).toBeGreaterThan(0);
    expect(agent.logged("database takes no writes")[0]).toMatchObject({
      error: expect.stringContaining("full"),
    });
    expect(agent.answersIn("/slow 0")).toEqual([]);

    agent.freeDisk();
    await agent.expectAnswers([...slow, ...accepted]);
    await expect.poll(async () => (await agent.get("/readyz")).status, PATIENTLY).toBe(200);
    // Whoever was refused sends it again, and it is one message.
    await agent.say(`/echo ${accepted.length}`);
    await agent.expectAnswers([...slow, ...accepted, `/echo ${accepted.length}`]);
    expect(new Set(agent.receiver.received.map(({ delivery_id }) => delivery_id)).size).toBe(
      slow.length + accepted.length + 1,
    );
    const again = () => agent.logged("database takes writes again").length;
    await expect.poll(again, PATIENTLY).toBeGreaterThan(0);
    expect(await agent.stop()).toBe(0);
  },
);

test(
  "an agent whose log file is on the full disk goes on, says so, and logs again when there is space",
  TIMEOUT,
  async (t) => {
    const agent = await startOnSmallDisk(t, { isLogOnDisk: true, plugin: CHATTY });
    if (!agent) return t.skip(CANNOT_MOUNT);
    await agent.say("/echo before");
    await agent.expectAnswers(["/echo before"]);

    agent.fillDisk();
    const told = () => agent.log.filter((line) => line.includes("Cannot write to the log"));
    await expect.poll(told, PATIENTLY).toMatchObject([expect.stringContaining("ENOSPC")]);
    expect((await agent.get("/healthz")).status).toBe(200);
    agent.freeDisk();
    await agent.say("/echo after");
    await agent.expectAnswers(["/echo after"]);
    const logged = () => readFile(agent.onDisk("robson.log"), "utf8");
    await expect.poll(async () => (await logged()).split('"msg":"delivered"').length, PATIENTLY).toBe(3);
    expect(told()).toHaveLength(1);
    // A stop does not wait for a disk that is full again.
    agent.fillDisk();
    expect(await agent.stop()).toBe(0);
  },
);

interface OnSmallDisk extends FaultAgent {
  /** The path by which this process sees a file of the disk. */
  onDisk(name: string): string;
  fillDisk(): void;
  freeDisk(): void;
}

async function startOnSmallDisk(
  t: TestEnd,
  { isLogOnDisk = false, ...options }: Partial<FaultAgentOptions> & { isLogOnDisk?: boolean },
): Promise<OnSmallDisk | undefined> {
  const disk = await temporaryFolder(t);
  const within = withSmallDisk(disk, "12m");
  if (!within && process.env.CI) throw new Error(CANNOT_MOUNT);
  if (!within) return undefined;
  const agent = await startFaultAgent(t, {
    ...options,
    ...{ within, location: join(disk, "robson.db") },
    ...(isLogOnDisk && { logFile: join(disk, "robson.log") }),
  });
  const onDisk = (name: string) => join(`/proc/${agent.pid}/root`, disk, name);
  return {
    ...agent,
    onDisk,
    fillDisk: () => fill(onDisk("ballast")),
    freeDisk: () => rmSync(onDisk("ballast")),
  };
}

/** Writes until not one byte more can be written. */
function fill(file: string): void {
  const fd = openSync(file, "w");
  for (let bytes = 64 * 1024; bytes >= 1; ) {
    try {
      writeSync(fd, Buffer.alloc(bytes));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      bytes = Math.floor(bytes / 8);
    }
  }
  closeSync(fd);
}
