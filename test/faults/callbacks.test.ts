/** Receivers of callbacks that hang, close, or answer with garbage: they alone wait, and get each answer in the end. */
import type { Socket } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { PATIENTLY, startFaultAgent, TIMEOUT } from "./fault-agent.ts";
import { startSickReceiver } from "./sick-receiver.ts";

const SICK: { what: string; act: (socket: Socket) => void; told: RegExp }[] = [
  {
    what: "hangs",
    act: () => undefined,
    told: /did not answer within 300 ms|took longer than sendTimeoutMs/,
  },
  { what: "closes", act: (socket) => socket.end(), told: /other side closed/ },
  { what: "resets", act: (socket) => socket.resetAndDestroy(), told: /ECONNRESET|other side closed/ },
  {
    what: "answers no HTTP",
    act: (socket) => socket.end(Buffer.alloc(5000, 0xee)),
    told: /Expected HTTP|Invalid|Parse Error/i,
  },
  {
    what: "answers a header without end",
    act: (socket) => void socket.write(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(1_000_000)}`),
    told: /header|overflow|did not answer|took longer/i,
  },
  {
    what: "answers a body without end",
    act: (socket) => {
      socket.write("HTTP/1.1 500 Oh\r\ncontent-length: 99999999999\r\n\r\n");
      const more = () => void socket.write("x".repeat(65_536), (error) => error ?? more());
      more();
    },
    told: /it answered 500/,
  },
];

test(
  "a callback receiver that hangs, closes, resets or answers garbage waits alone, and has its answer once it is well",
  TIMEOUT,
  async (t) => {
    const location = join(await temporaryFolder(t), "robson.db");
    const limits = "send_timeout_ms = 300\nmax_delivery_attempts = 1000";
    const agent = await startFaultAgent(t, { location, limits });
    const receivers = await Promise.all(SICK.map(({ act }) => startSickReceiver(t, act)));

    const ids = await Promise.all(
      receivers.map(({ url }, index) => agent.say(`/echo sick ${index}`, { callback: url })),
    );
    const well = Array.from({ length: 50 }, (_, index) => `/echo ${index}`);
    await Promise.all(well.map((content) => agent.say(content)));
    await agent.expectAnswers(well);
    for (const [index, { what, told }] of SICK.entries()) {
      const failures = () =>
        agent
          .logged("delivery attempt failed")
          .filter(({ conversationId }) => conversationId === ids[index])
          .map(({ error }) => error);
      await expect.poll(() => failures().length, PATIENTLY).toBeGreaterThan(1);
      // A busy machine may have an attempt run out of its time before the receiver has done its worst.
      await expect.poll(() => failures().join("\n"), { ...PATIENTLY, message: what }).toMatch(told);
    }
    expect(await agent.why(ids[0] ?? 0)).toMatch(/did not answer|took longer/);
    expect(await agent.get("/readyz")).toMatchObject({ status: 200 });

    for (const receiver of receivers) receiver.heal();
    for (const { taken } of receivers) await expect.poll(() => taken.size, PATIENTLY).toBe(1);
    await expect.poll(() => agent.logged("delivered").length, PATIENTLY).toBe(well.length + SICK.length);
    expect(await agent.stop()).toBe(0);
  },
);
