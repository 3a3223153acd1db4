import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { RobsonError } from "../core/errors.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { startServer } from "./index.ts";

const routes = new Hono()
  .get("/status", (c) => c.json({}))
  .post("/message", async (c) => {
    const by = c.req.header("webhook-signature") ?? "token";
    if (by === "v1,forged")
      throw new RobsonError("UNAUTHORIZED", "Its signature is wrong", { hint: "Sign it" });
    return c.json({ by, body: await c.req.text() });
  });

interface Options {
  maxRequestsPerMinute?: number;
  signedPaths?: string[];
  isControl?(content: string): boolean;
}

async function start(options: Options) {
  const clock = createTestClock();
  const server = await startServer({
    ...{ port: 0, routes: [routes], token: "s3cret", clock, ...options },
    store: { conversation: async () => undefined, events: async () => [] },
    health: () => ({ isReady: true }),
  });
  onTestFinished(() => server.close());
  const post = (headers: Record<string, string>, path = "/message") =>
    fetch(server.url + path, { method: "POST", headers });
  const say = (body: RequestInit["body"]) =>
    fetch(`${server.url}/message`, { method: "POST", headers: token, body, duplex: "half" } as RequestInit);
  return { clock, post, say, url: server.url };
}

const token = { authorization: "Bearer s3cret" };
const signature = { "webhook-signature": "v1,abc" };

test("beyond maxRequestsPerMinute a caller gets 429, until the time in Retry-After is over", async () => {
  const { clock, post, url } = await start({ maxRequestsPerMinute: 3 });

  const statuses: number[] = [];
  for (let n = 0; n < 4; n += 1) statuses.push((await post(token)).status);
  const refused = await post(token);
  await clock.advance(19_000);
  const early = await post(token);
  await clock.advance(1000);

  expect(statuses).toEqual([200, 200, 200, 429]);
  expect(refused.headers.get("retry-after")).toBe("20");
  expect(await refused.json()).toMatchObject({
    message: expect.stringContaining("maxRequestsPerMinute (3)"),
  });
  expect(early.headers.get("retry-after")).toBe("1");
  expect((await post(token)).status).toBe(200);
  expect((await post(token)).status).toBe(429);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});

test("who signs and who brings the token have a limit each, and who brings nothing spends neither", async () => {
  const { post } = await start({ maxRequestsPerMinute: 1, signedPaths: ["/message"] });

  for (let n = 0; n < 3; n += 1) expect((await post({})).status).toBe(401);
  expect((await post(signature)).status).toBe(200);
  expect((await post(signature)).status).toBe(429);
  expect((await post(token)).status).toBe(200);
});

test("messages for the loop itself have a limit of their own, which is asked for when that of all is reached", async () => {
  const isControl = (content: string) => content.startsWith("/stop");
  const { say } = await start({ maxRequestsPerMinute: 1, isControl });
  const stop = JSON.stringify({ content: "/stop 7" });

  expect((await say("{}")).status).toBe(200);
  for (const other of ["{}", '{"content": "/echo"}', '{"content": 7}', "[]", "null", "no JSON", null])
    expect((await say(other)).status).toBe(429);
  expect((await say(JSON.stringify({ content: `/stop ${"x".repeat(5000)}` }))).status).toBe(429);
  expect((await say(new Blob([stop]).stream())).status).toBe(429); // chunked: its length is anybody's guess

  expect(await (await say(stop)).json()).toEqual({ by: "token", body: stop });
  expect((await say(stop)).status).toBe(429);
});

test("a signature that turns out to be wrong uses up nothing of those who sign", async () => {
  const { post } = await start({ maxRequestsPerMinute: 1, signedPaths: ["/message"] });

  for (let n = 0; n < 3; n += 1) expect((await post({ "webhook-signature": "v1,forged" })).status).toBe(401);

  expect((await post(signature)).status).toBe(200);
  expect((await post(signature)).status).toBe(429);
});

test("a signature takes the place of the token only where a route checks it, and not beside a wrong token", async () => {
  const signed = await start({ signedPaths: ["/message"] });
  const unsigned = await start({});

  expect((await signed.post(signature)).status).toBe(200);
  expect((await signed.post(signature, "/nowhere")).status).toBe(401);
  expect((await signed.post({ ...signature, authorization: "Bearer wrong" })).status).toBe(401);
  expect((await unsigned.post(signature)).status).toBe(401);
});

test("too many messages keep nobody from asking how things are, and paths that there are not have one limit", async () => {
  const { post, url } = await start({ maxRequestsPerMinute: 2 });
  const get = async (path: string) => (await fetch(url + path, { headers: token })).status;

  for (let n = 0; n < 2; n += 1) await post(token);
  expect((await post(token)).status).toBe(429);

  expect(await get("/status")).toBe(200);
  expect([await get("/no"), await get("/nothing"), await get("/nowhere")]).toEqual([404, 404, 429]);
});
