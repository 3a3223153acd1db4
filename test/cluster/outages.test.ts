import { Client } from "pg";
import { expect, test } from "vitest";
import { createDatabase, startPostgres } from "../../src/testing/postgres/index.ts";
import { LEASE_MS, PATIENTLY, startCluster } from "./cluster.ts";
import { startPostgresProxy } from "./postgres-proxy.ts";

const WORK = { threads: 40, messagesPerThread: 5 };
const TIMEOUT = { timeout: 180_000 };
/** Of a connection to PostgreSQL: what is written waits for it when nobody answers. */
const CONNECT_TIMEOUT_MS = 5000;
/** `npm run test:crash` sets the long form. */
const OUTAGE_MS = Number(process.env.ROBSON_OUTAGE_MS ?? 2 * LEASE_MS);

test(
  "an outage of the database longer than the lease ends no process and loses nothing; HTTP says when to come back",
  TIMEOUT,
  async (t) => {
    const { url } = await createDatabase(t);
    const proxy = await startPostgresProxy(url);
    t.onTestFinished(() => proxy.close());
    const cluster = await startCluster(t, url);
    const members = [await cluster.start({ url: proxy.url }), await cluster.start({ url: proxy.url })];
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });
    const posting = cluster.post(members, WORK);
    await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBeGreaterThan(30);

    proxy.cut();
    for (const { port, get } of members) {
      await expect.poll(async () => (await get("/readyz")).status, PATIENTLY).toBe(503);
      expect((await get("/readyz")).body).toContain("database");
      const response = await postTo(port, "/echo never");
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    }
    await outage(OUTAGE_MS);
    proxy.heal();
    await posting;

    await cluster.expectAllAnswered(WORK);
    for (const { get } of members)
      await expect.poll(async () => (await get("/readyz")).status, PATIENTLY).toBe(200);
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });
    for (const member of members) expect(await member.stop()).toBe(0);
  },
);

test(
  "while it is known that the database does not answer, a message is refused at once",
  TIMEOUT,
  async (t) => {
    const { url } = await createDatabase(t);
    const proxy = await startPostgresProxy(url);
    t.onTestFinished(() => proxy.close());
    const cluster = await startCluster(t, url);
    const member = await cluster.start({ url: proxy.url });

    proxy.freeze();
    await expect.poll(async () => (await member.get("/readyz")).status, PATIENTLY).toBe(503);
    const askedAt = performance.now();
    const { status, headers } = await postTo(member.port, "/echo never");

    expect(performance.now() - askedAt).toBeLessThan(CONNECT_TIMEOUT_MS / 2);
    expect([status, headers.get("retry-after")]).toEqual([503, "2"]);
    proxy.thaw();
    await expect.poll(async () => (await member.get("/readyz")).status, PATIENTLY).toBe(200);
    await cluster.say(member, "/echo again");
    await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBeGreaterThan(0);
    expect(await member.stop()).toBe(0);
  },
);

test(
  "a crash of the database server ends no process, and what was accepted before is worked after",
  TIMEOUT,
  async (t) => {
    const server = await startPostgres({ maxConnections: 60 });
    t.onTestFinished(() => server.stop());
    const cluster = await startCluster(t, server.url);
    const members = [await cluster.start(), await cluster.start()];
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });
    const posting = cluster.post(members, WORK);
    await expect.poll(() => cluster.receiver.received.length, PATIENTLY).toBeGreaterThan(30);

    await crashServer(server.url);
    await posting;

    await cluster.expectAllAnswered(WORK);
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });
    for (const member of members) expect(await member.stop()).toBe(0);
  },
);

test(
  "behind a pooler that lets no notification through, messages for another process are found by looking",
  TIMEOUT,
  async (t) => {
    const { url } = await createDatabase(t);
    const proxy = await startPostgresProxy(url);
    t.onTestFinished(() => proxy.close());
    proxy.loseNotifications();
    const cluster = await startCluster(t, url);
    const more = "fallback_poll_ms = 200";
    const members = [
      await cluster.start({ url: proxy.url, more }),
      await cluster.start({ url: proxy.url, more }),
    ];
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 2, shards: 64 });

    await cluster.post(members, WORK);

    await cluster.expectAllAnswered(WORK);
    await members[0]?.kill();
    await expect.poll(cluster.holders, PATIENTLY).toMatchObject({ processes: 1, shards: 64 });
  },
);

function postTo(port: number, content: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/message`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ content }),
  });
}

/** Real time is what this test is about: how long the database is away. */
function outage(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One of its processes is killed: then the server ends all the others, and recovers from its log. */
async function crashServer(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  const { rows } = await client.query("select pg_backend_pid() as pid");
  process.kill(rows[0].pid, "SIGKILL");
  await client.end().catch(() => undefined);
}
