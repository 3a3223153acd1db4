import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { ERROR_CODES, type ErrorCode, RobsonError, TryLaterError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { startServer } from "./index.ts";

/** What a client gets when a mounted route throws, and what is logged. */
async function answerTo(thrown: unknown) {
  const logged: object[] = [];
  const routes = new Hono().get("/x", () => {
    throw thrown;
  });
  const server = await startServer({
    port: 0,
    routes: [routes],
    store: { conversation: async () => undefined, events: async () => [] },
    health: () => ({ isReady: true }),
    log: { ...silentLogger, error: (fields) => logged.push(fields) },
  });
  onTestFinished(() => server.close());
  const response = await fetch(`${server.url}/x`);
  return {
    status: response.status,
    retryAfter: response.headers.get("retry-after"),
    body: await response.json(),
    logged,
  };
}

test.each<[ErrorCode, number, string | null]>([
  ["MESSAGE_INVALID", 400, null],
  ["CALLBACK_REFUSED", 400, null],
  ["UNAUTHORIZED", 401, null],
  ["CHANNEL_NOT_ALLOWED", 403, null],
  ["NOT_FOUND", 404, null],
  ["MESSAGE_TOO_LARGE", 413, null],
  ["RATE_LIMITED", 429, "1"],
  ["OVERLOADED", 503, "5"],
  ["STORE_BUSY", 503, "1"],
  ["STORE_UNAVAILABLE", 503, "2"],
  ["STOPPING", 503, "2"],
  ["LEASE_LOST", 503, "2"],
  ["STORE_FULL", 503, "30"],
  ["STORE_READ_ONLY", 503, "5"],
  ["STORE_UNREADABLE", 503, "30"],
])("%s is answered %i with Retry-After %s", async (code, status, retryAfter) => {
  const answer = await answerTo(new RobsonError(code, "Cannot do it", { hint: "Do that" }));

  expect(answer).toEqual({
    status,
    retryAfter,
    body: { code, message: "Cannot do it", hint: "Do that" },
    logged: [],
  });
});

test.each([
  ["an error of somebody else", new Error("password=hunter2")],
  ["something that is no error", "password=hunter2"],
  ["an error of ours that is no client's business", new RobsonError("GIT_FAILED", "password=hunter2")],
])("%s is answered 500 without its text, and logged", async (_name, thrown) => {
  const answer = await answerTo(thrown);

  expect(answer.status).toBe(500);
  expect(answer.body).toMatchObject({ code: "INTERNAL", hint: expect.any(String) });
  expect(JSON.stringify(answer.body)).not.toContain("hunter2");
  expect(answer.logged).toEqual([{ err: thrown }]);
});

test("every code has an answer in JSON", async () => {
  for (const code of ERROR_CODES) {
    const { status, body } = await answerTo(new RobsonError(code, "Cannot do it"));
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body).toEqual({
      code: expect.any(String),
      message: expect.any(String),
      hint: status === 500 ? expect.any(String) : null,
    });
  }
});

test("a refusal that knows how long it lasts says so in Retry-After, in whole seconds", async () => {
  const refusal = new TryLaterError("OVERLOADED", "Cannot accept a message", { retryAfterMs: 2100 });

  const { status, retryAfter } = await answerTo(refusal);

  expect({ status, retryAfter }).toEqual({ status: 503, retryAfter: "3" });
});
