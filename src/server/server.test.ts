import { once } from "node:events";
import { connect } from "node:net";
import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../core/logger.ts";
import type { EventRecord, StoredMessage } from "../core/store.ts";
import { type ServerOptions, startServer } from "./index.ts";

const TOKEN = "s3cret-token";

async function start(options: Partial<ServerOptions> = {}) {
  const server = await startServer({
    port: 0,
    routes: [],
    store: { conversation: async () => undefined, events: async () => [] },
    health: () => ({ isReady: true }),
    log: silentLogger,
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

async function get(url: string, headers: Record<string, string> = {}) {
  const response = await fetch(url, { headers });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** Sends bytes as they are and resolves with all that comes back until the server hangs up. */
async function sendRaw(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(text);
  let answer = "";
  for await (const chunk of socket.setEncoding("utf8")) answer += chunk;
  return answer;
}

/** A route that answers when told. */
function heldRoute() {
  const arrived = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const routes = new Hono().get("/held", async (c) => {
    arrived.resolve();
    await released.promise;
    return c.json({ held: true });
  });
  return { routes, arrived: arrived.promise, release: released.resolve };
}

test("health needs no token, everything else does", async () => {
  const { url } = await start({ token: TOKEN, routes: [new Hono().get("/x", (c) => c.json({ x: 1 }))] });

  expect(await get(`${url}/healthz`)).toMatchObject({ status: 200, body: { status: "ok" } });
  expect(await get(`${url}/readyz`)).toMatchObject({ status: 200, body: { status: "ready" } });
  for (const path of ["/x", "/nowhere", "/conversations/1/events"]) {
    const refused = await get(url + path);
    expect(refused).toMatchObject({ status: 401, body: { code: "UNAUTHORIZED", hint: expect.any(String) } });
    expect(refused.headers.get("www-authenticate")).toMatch(/^Bearer/);
  }
  expect(await get(`${url}/x`, { authorization: `Bearer ${TOKEN}` })).toMatchObject({
    status: 200,
    body: { x: 1 },
  });
  expect(await get(`${url}/x`, { authorization: `bearer ${TOKEN}` })).toMatchObject({ status: 200 });
});

test.each([
  "Bearer",
  "Bearer ",
  `Bearer ${TOKEN}x`,
  `Bearer ${TOKEN.slice(1)}`,
  `Basic ${TOKEN}`,
  TOKEN,
  "Bearer ü",
])("the authorization %s is refused, and no answer shows the token", async (authorization) => {
  const { url } = await start({ token: TOKEN });

  const refused = await get(`${url}/x`, { authorization: Buffer.from(authorization).toString("latin1") });

  expect(refused.status).toBe(401);
  expect(JSON.stringify(refused.body)).not.toContain(TOKEN);
});

test("readiness gives its reason while it is not there", async () => {
  let reason: string | undefined = "the database is away";
  const { url } = await start({ health: () => ({ isReady: reason === undefined, reason }) });

  const unready = await get(`${url}/readyz`);
  expect(unready).toMatchObject({ status: 503, body: { reason: "the database is away" } });
  expect(unready.headers.get("retry-after")).toBe("2");
  expect((await get(`${url}/healthz`)).status).toBe(200);

  reason = undefined;
  expect((await get(`${url}/readyz`)).status).toBe(200);
});

test("an unknown route is 404 in JSON", async () => {
  const { url } = await start();

  const answer = await get(`${url}/nowhere`);

  expect(answer).toMatchObject({
    status: 404,
    body: { code: "NOT_FOUND", message: "Cannot find GET /nowhere" },
  });
  expect(answer.headers.get("content-type")).toContain("application/json");
});

test("without a token the server listens on loopback only, and says so", async () => {
  const said: string[] = [];

  for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.com"]) {
    await expect(start({ host })).rejects.toMatchObject({ code: "LISTEN_REFUSED", hint: expect.any(String) });
  }
  await expect(start({ host: "0.0.0.0", token: "" })).rejects.toMatchObject({ code: "LISTEN_REFUSED" });
  for (const host of ["127.0.0.1", "localhost"]) {
    await start({ host, log: { ...silentLogger, info: (_fields, text) => said.push(text) } });
  }

  const sayings = said.filter((text) => text.includes("anyone on this machine may post"));
  expect(sayings).toHaveLength(2);
});

test("with a token the server listens anywhere", async () => {
  const { port } = await start({ host: "0.0.0.0", token: TOKEN });

  expect((await get(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
});

test("a token that no header can carry is a set-up mistake", async () => {
  for (const token of ["with space", "line\n", "größe"]) {
    await expect(start({ token })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
});

test.each([
  ["Host: evil.example:7420"],
  ["Host: 127.0.0.1.evil.example"],
  ["Host: 192.168.0.5:7420"],
  ["Host: localhost:1\r\nOrigin: https://evil.example"],
  ["Host: localhost:1\r\nOrigin: http://localhost:2"],
  ["Host: localhost:1\r\nOrigin: null"],
])("without a token a request with %j is refused", async (headers) => {
  const { port } = await start({ routes: [new Hono().get("/x", (c) => c.json({ x: 1 }))] });

  const answer = await sendRaw(port, `GET /x HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`);

  expect(answer).toContain("403 Forbidden");
  expect(answer).toContain("ORIGIN_REFUSED");
});

test.each([
  ["Host: localhost"],
  ["Host: 127.0.0.1:99"],
  ["Host: [::1]:99"],
  ["Host: a:1\r\nOrigin: http://a:1"],
])("a request with %j is answered: with loopback as its host, or with a token", async (headers) => {
  const isForeign = headers.includes("Origin");
  const { port } = await start({
    routes: [new Hono().get("/x", (c) => c.json({ x: 1 }))],
    token: isForeign ? TOKEN : undefined,
  });

  const lines = ["GET /x HTTP/1.1", headers, `Authorization: Bearer ${TOKEN}`, "Connection: close"];
  const answer = await sendRaw(port, `${lines.join("\r\n")}\r\n\r\n`);

  expect(answer).toContain("200 OK");
});

test("a taken port and a port that is none are named", async () => {
  const { port } = await start();

  await expect(start({ port })).rejects.toMatchObject({
    code: "PORT_TAKEN",
    message: expect.stringContaining(String(port)),
    hint: expect.any(String),
  });
  await expect(start({ port: 70_000 })).rejects.toMatchObject({ code: "LISTEN_REFUSED" });
  await expect(start({ host: "203.0.113.7", token: TOKEN })).rejects.toMatchObject({
    code: "LISTEN_REFUSED",
  });
});

test("beyond maxConcurrentRequests a request gets 429, and health is still answered", async () => {
  const { routes, arrived, release } = heldRoute();
  const { url } = await start({ routes: [routes], maxConcurrentRequests: 1 });

  const first = get(`${url}/held`);
  await arrived;
  const refused = await get(`${url}/held`);
  const healthy = await get(`${url}/healthz`);
  release();

  const message = expect.stringContaining("maxConcurrentRequests (1)");
  expect(refused).toMatchObject({ status: 429, body: { code: "RATE_LIMITED", message } });
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(healthy.status).toBe(200);
  expect((await first).status).toBe(200);
  expect((await get(`${url}/held`)).status).toBe(200);
});

test("the events of a message are shown with their deliveries", async () => {
  const delivered = {
    eventId: 3,
    gateway: "webhook",
    target: "https://hooks.example/secret",
    deliveryId: "d-1",
    status: "done" as const,
    attempts: 2,
    interruptions: 0,
    nextRetryAt: null,
    lastError: "it answered 503",
    deliveredAt: 1_760_000_001_000,
  };
  const waiting = {
    ...delivered,
    deliveryId: "d-2",
    target: "https://hooks.example/other",
    status: "pending" as const,
    attempts: 1,
    nextRetryAt: 1_760_000_002_000,
    lastError: null,
  };
  const event: EventRecord = {
    id: 3,
    conversationId: 12,
    kind: "completed",
    content: "done 👩‍👩‍👧",
    createdAt: 1_760_000_000_000,
    deliveries: [delivered, { ...waiting, deliveredAt: null }],
  };
  const status = { 12: "done", 13: "dead", 14: "pending", 15: "claimed" } as Record<number, string>;
  const { url } = await start({
    store: {
      conversation: async (id) =>
        status[id] ? ({ conversationId: id, status: status[id] } as StoredMessage) : undefined,
      events: async (id) => (id === 12 ? [event] : []),
    },
  });

  expect((await get(`${url}/conversations/12/events`)).body).toEqual({
    events: [
      {
        event_id: 3,
        kind: "completed",
        content: "done 👩‍👩‍👧",
        created_at: "2025-10-09T08:53:20.000Z",
        deliveries: [
          {
            delivery_id: "d-1",
            gateway: "webhook",
            target: "https://hooks.example/secret",
            status: "done",
            attempts: 2,
            delivered_at: "2025-10-09T08:53:21.000Z",
            next_attempt_at: null,
            last_error: "it answered 503",
          },
          {
            delivery_id: "d-2",
            gateway: "webhook",
            target: "https://hooks.example/other",
            status: "pending",
            attempts: 1,
            delivered_at: null,
            next_attempt_at: "2025-10-09T08:53:22.000Z",
            last_error: null,
          },
        ],
      },
    ],
    processed: true,
  });
  expect((await get(`${url}/conversations/13/events`)).body).toEqual({ events: [], processed: true });
  expect((await get(`${url}/conversations/14/events`)).body).toEqual({ events: [], processed: false });
  expect((await get(`${url}/conversations/15/events`)).body).toEqual({ events: [], processed: false });
  for (const id of [
    "16",
    "0",
    "-12",
    "012",
    "12.0",
    "1e1",
    "abc",
    "9007199254740993",
    "99999999999999999999",
    "%00",
  ]) {
    expect(await get(`${url}/conversations/${id}/events`)).toMatchObject({
      status: 404,
      body: { code: "NOT_FOUND" },
    });
  }
});

test("close waits for a request under way, ends idle connections at once and listens no more", async () => {
  const { routes, arrived, release } = heldRoute();
  const server = await start({ routes: [routes] });
  const idle = connect(server.port, "127.0.0.1");
  await once(idle, "connect");
  idle.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await once(idle, "data");

  const answer = fetch(`${server.url}/held`);
  await arrived;
  const closing = server.close();
  await once(idle.resume(), "close");
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  release();

  const response = await answer;
  expect(response.status).toBe(200);
  expect(response.headers.get("connection")).toBe("close");
  expect(await response.json()).toEqual({ held: true });
  await closing;
  await server.close();
});

test("close cuts a request off when the grace is over", async () => {
  const { routes, arrived } = heldRoute();
  const server = await start({ routes: [routes], closeGraceMs: 20 });

  const outcome = fetch(`${server.url}/held`).then(
    () => "answered",
    () => "cut off",
  );
  await arrived;
  await server.close();

  expect(await outcome).toBe("cut off");
});

test("what is no HTTP, too much header or too slow is answered in JSON and hung up on", async () => {
  const { port } = await start({});
  const impatient = await start({ requestTimeoutMs: 100 });
  const post = "POST /x HTTP/1.1\r\nHost: localhost\r\n";

  const garbage = await sendRaw(port, "hello\r\n\r\n");
  const longHeader = await sendRaw(
    port,
    `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
  );
  const slowHeader = await sendRaw(impatient.port, post);
  const badHost = await sendRaw(port, "GET /x HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n");

  expect(garbage).toMatch(/^HTTP\/1.1 400 .*"code":"MESSAGE_INVALID"/s);
  expect(longHeader).toMatch(/^HTTP\/1.1 431 .*longer than 16384 bytes/s);
  expect(slowHeader).toMatch(/^HTTP\/1.1 408 .*within 100 ms \(server\.request_timeout_ms\)/s);
  expect(badHost).toMatch(/^HTTP\/1.1 400 .*"code":"MESSAGE_INVALID"/s);
});

test("a body that does not arrive in time is given up, and logged as no failure of ours", async () => {
  const errors: string[] = [];
  const routes = new Hono().post("/x", async (c) => c.json({ length: (await c.req.text()).length }));
  const log = { ...silentLogger, error: (_fields: object, text: string) => errors.push(text) };
  const { port } = await start({ routes: [routes], requestTimeoutMs: 100, log });

  const answer = await sendRaw(port, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");

  expect(answer).toMatch(/^HTTP\/1.1 408 /);
  expect(errors).toEqual([]);
});
