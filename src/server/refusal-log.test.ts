/** The log says that requests are refused, and not with a line for each. */
import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { RobsonError } from "../core/errors.ts";
import { keptLog } from "../testing/interfered-loop.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { startServer } from "./index.ts";

const MINUTE_MS = 60_000;

async function start() {
  const clock = createTestClock();
  const log = keptLog();
  const routes = new Hono().post("/message", async (c) => {
    const code = await c.req.text();
    if (code === "ok") return c.json({});
    throw new RobsonError(code as "OVERLOADED", `Cannot accept a message: ${code}`, { hint: "Wait" });
  });
  const server = await startServer({
    ...{ port: 0, routes: [routes], clock, log },
    store: { conversation: async () => undefined, events: async () => [] },
    health: () => ({ isReady: true }),
  });
  onTestFinished(() => server.close());
  const post = (body: string) => fetch(`${server.url}/message`, { method: "POST", body });
  const refusals = () => log.lines.filter(({ message }) => message.startsWith("requests "));
  return { clock, post, refusals, close: () => server.close() };
}

const refused = (fields: object) => ({ level: "warn", message: "requests are refused for now", fields });
const over = (fields: object) => ({
  level: "info",
  message: "requests are not refused any more",
  fields,
});

test("requests that are refused are said at the first one, and when none was for a while, with how many they were", async () => {
  const { clock, post, refusals } = await start();

  for (let n = 0; n < 3; n += 1) {
    expect((await post("RATE_LIMITED")).status).toBe(429);
    expect((await post("ok")).status).toBe(200);
    await clock.advance(10_000);
  }
  const error = "Cannot accept a message: RATE_LIMITED";
  const begin = refused({ code: "RATE_LIMITED", status: 429, count: 1, error });
  expect(refusals()).toEqual([begin]);

  await clock.advance(MINUTE_MS);
  expect(refusals()).toEqual([begin, over({ code: "RATE_LIMITED", count: 3 })]);

  await post("RATE_LIMITED");
  expect(refusals().slice(2)).toEqual([begin]);
});

test("while it goes on it is said once a minute, and each reason for itself", async () => {
  const { clock, post, refusals } = await start();

  for (let n = 0; n < 13; n += 1) {
    if (n > 0) await clock.advance(5000);
    await post("OVERLOADED");
  }
  await post("STORE_UNAVAILABLE");

  expect(refusals()).toMatchObject([
    refused({ code: "OVERLOADED", status: 503, count: 1 }),
    refused({ code: "OVERLOADED", status: 503, count: 13 }),
    refused({ code: "STORE_UNAVAILABLE", status: 503, count: 1 }),
  ]);
});

test("a stop says how many they were; what is a mistake of its sender is no line", async () => {
  const { post, refusals, close } = await start();

  expect((await post("MESSAGE_INVALID")).status).toBe(400);
  for (let n = 0; n < 2; n += 1) await post("OVERLOADED");
  await close();

  expect(refusals()).toMatchObject([
    refused({ count: 1 }),
    {
      level: "info",
      message: "requests were refused until the stop",
      fields: { code: "OVERLOADED", count: 2 },
    },
  ]);
});
