/** What a flood of messages leaves to others: connections, requests of other kinds, messages for the loop itself. */
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { type ServerOptions, startServer } from "./index.ts";

const CONNECTIONS = 1000;
const CONNECT_ALL = `
  const { once } = require("node:events");
  const { connect } = require("node:net");
  const { workerData: { port, CONNECTIONS, isConnected } } = require("node:worker_threads");
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, "127.0.0.1"));
  Promise.all(sockets.map((socket) => once(socket, "connect"))).then(() => {
    Atomics.store(isConnected, 0, 1);
    Atomics.notify(isConnected, 0);
  });`;

async function start(options: Partial<ServerOptions> = {}) {
  const server = await startServer({
    port: 0,
    routes: [],
    store: { conversation: async () => undefined, events: async () => [] },
    health: () => ({ isReady: true }),
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

/** Messages are held until they are released; but for those for the loop itself. */
function heldMessages() {
  const arrived = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const routes = new Hono()
    .get("/status", (c) => c.json({}))
    .post("/message", async (c) => {
      const { content } = await c.req.json();
      if (content !== "/status") {
        arrived.resolve();
        await released.promise;
      }
      return c.json({ content });
    });
  return { routes, arrived: arrived.promise, release: released.resolve };
}

test("as many requests under way as may be keep nobody from asking how things are, nor from the loop itself", async () => {
  const { routes, arrived, release } = heldMessages();
  const isControl = (content: string) => content === "/status";
  const { url } = await start({ routes: [routes], maxConcurrentRequests: 1, isControl });
  const post = async (content: string) => {
    const response = await fetch(`${url}/message`, { method: "POST", body: JSON.stringify({ content }) });
    return { status: response.status, body: await response.json() };
  };

  const first = post("work");
  await arrived;

  expect(await post("more")).toMatchObject({ status: 429, body: { code: "RATE_LIMITED" } });
  expect(await post("/status")).toEqual({ status: 200, body: { content: "/status" } });
  expect((await fetch(`${url}/status`)).status).toBe(200);
  release();
  expect((await first).status).toBe(200);
  expect((await post("/status")).status).toBe(200);
});

test("long bodies are refused where those under way have as much together as may be, short ones and one alone are not", async () => {
  const { routes, arrived, release } = heldMessages();
  const { url } = await start({ routes: [routes], maxBytesUnderWay: 10_000 });
  const post = (content: string | Blob) =>
    fetch(`${url}/message`, {
      ...{ method: "POST", duplex: "half" },
      body: typeof content === "string" ? JSON.stringify({ content }) : content.stream(),
    } as RequestInit);

  const first = post("x".repeat(20_000));
  await arrived;
  const refused = await post("x".repeat(5000));
  const chunked = await post(new Blob(["x"]));
  const short = post("short");
  release();

  expect([refused.status, refused.headers.get("retry-after"), chunked.status]).toEqual([429, "1", 429]);
  expect(await refused.json()).toMatchObject({ hint: expect.stringContaining("max_bytes_under_way") });
  expect([(await first).status, (await short).status]).toEqual([200, 200]);
  expect((await post("x".repeat(9000))).status).toBe(200);
});

test.runIf(mayWait(CONNECTIONS))("1000 connections wait to be taken by a server that is busy", async () => {
  const { port } = await start();
  const isConnected = new Int32Array(new SharedArrayBuffer(4));
  const client = new Worker(CONNECT_ALL, { eval: true, workerData: { port, CONNECTIONS, isConnected } });
  onTestFinished(async () => void (await client.terminate()));

  expect(Atomics.wait(isConnected, 0, 0, 10_000)).not.toBe("timed-out"); // the server takes none of them meanwhile
});

/** Whether the system lets so many connections wait to be taken. */
function mayWait(connections: number): boolean {
  if (process.platform !== "linux") return false;
  return Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8")) >= connections;
}
