import type { Client } from "pg";
import { expect, test, vi } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { openOwned } from "./owned.fixture.ts";
import { HIDE, UNOWNED } from "./ownership.ts";
import { WAY_STATEMENTS } from "./way-statement.ts";
import { PLANNED_ONCE } from "./writer-connection.ts";

const PENDING = { shard: 0, status: "pending", attempts: 0 } as const;

/** The process ids of the connections for which `condition` over pg_stat_activity holds, once there is one. */
async function backends(other: Client, condition: string): Promise<number[]> {
  const query = `select pid from pg_stat_activity where datname = current_database()
    and pid <> pg_backend_pid() and ${condition}`;
  return vi.waitUntil(
    async () => {
      await other.query("select pg_stat_clear_snapshot()"); // within a transaction the view is remembered
      const { rows } = await other.query<{ pid: number }>(query);
      return rows.length > 0 && rows.map(({ pid }) => pid);
    },
    { timeout: 20_000 },
  );
}

const WRITES = "query like 'with%lease as%' and wait_event_type = 'Lock'";

test("a write whose connection is cut is refused as unavailable, and the next one connects anew", async (t) => {
  const { ownership, other } = await openOwned(t);
  await other.query("begin; select from processes for update");
  const cut = ownership.accept(aMessage({ gateway: "a", content: "cut" }), PENDING);
  cut.catch(() => undefined);

  for (const pid of await backends(other, WRITES))
    await other.query("select pg_terminate_backend($1)", [pid]);
  await expect(cut).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    hint: expect.stringContaining("ended this connection"),
  });
  await other.query("rollback");
  await ownership.accept(aMessage({ gateway: "a", content: "next" }), PENDING);

  expect(await ownership.openMessages({ after: 0, limit: 9 })).toMatchObject([{ content: "next" }]);
});

test("a write that the server cancels is refused as busy, and the next one works", async (t) => {
  const { ownership, other } = await openOwned(t);
  await other.query("begin; select from processes for update");
  const cancelled = ownership.accept(aMessage({ gateway: "a" }), PENDING);
  cancelled.catch(() => undefined);

  for (const pid of await backends(other, WRITES)) await other.query("select pg_cancel_backend($1)", [pid]);
  await expect(cancelled).rejects.toMatchObject({ code: "STORE_BUSY" });
  await other.query("rollback");

  await ownership.accept(aMessage({ gateway: "a" }), PENDING);
  expect(await ownership.openMessages({ after: 0, limit: 9 })).toHaveLength(1);
});

const OWNERS =
  "pid in (select pid from pg_locks where locktype = 'advisory' and granted and mode = 'ExclusiveLock')";

test("an owner whose connection is cut makes it anew, goes on, and hears what is said after that", async (t) => {
  const { ownership, other, store } = await openOwned(t);
  const losses: Error[] = [];
  ownership.onLost((error) => losses.push(error));
  const wakes = vi.fn();
  ownership.onWake(wakes);
  const before = await backends(other, OWNERS);

  for (const pid of before) await other.query("select pg_terminate_backend($1)", [pid]);
  await vi.waitUntil(async () => !before.includes((await backends(other, OWNERS))[0] ?? 0), {
    timeout: 20_000,
  });

  // What was said meanwhile is lost: it looks by itself.
  await vi.waitUntil(() => wakes.mock.calls.length > 0, { timeout: 20_000 });
  await ownership.accept(aMessage({ gateway: "a" }), PENDING);
  wakes.mockClear();
  await store.insertUnowned(aMessage({ gateway: "a" }));
  await vi.waitUntil(() => wakes.mock.calls.length > 0, { timeout: 20_000 });
  expect(await ownership.takeUnowned(10)).toHaveLength(1);
  expect(losses).toEqual([]);
  expect(await store.currentOwners()).toEqual(["first"]);
});

test("an owner that another process has taken over is told once, even when it asks later", async (t) => {
  const { ownership, other } = await openOwned(t);
  const losses: Error[] = [];
  ownership.onLost((error) => losses.push(error));

  await other.query("delete from processes; notify robson_members");
  await vi.waitUntil(() => losses.length > 0, { timeout: 20_000 });

  await expect(ownership.accept(aMessage({ gateway: "a" }), PENDING)).rejects.toMatchObject({
    code: "LEASE_LOST",
  });
  const later = await new Promise<Error>((resolve) => ownership.onLost(resolve));
  expect([...losses, later]).toMatchObject([{ code: "LEASE_LOST", hint: expect.any(String) }, {}]);
});

test("a cold write whose connection is cut in its transaction is refused, and nothing of it is stored", async (t) => {
  const { store, other } = await openOwned(t);
  await other.query("begin; lock table tasks");
  const task = { key: "A-1", summary: "s", description: "", project: "A", repoUrls: [] };
  const compiled = (await store.sql()).read
    .insertInto("repos")
    .values({ url: "https://h/a.git", created_at: 0 })
    .compile();
  const blocked = (await store.sql()).read.deleteFrom("tasks").where("jira_key", "=", task.key).compile();
  const cut = (await store.sql()).write([compiled, blocked]);
  cut.catch(() => undefined);

  const waiting = "query like 'delete from%' and wait_event_type = 'Lock'";
  for (const pid of await backends(other, waiting))
    await other.query("select pg_terminate_backend($1)", [pid]);
  await expect(cut).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  await other.query("rollback");

  expect(await (await store.sql()).read.selectFrom("repos").selectAll().execute()).toEqual([]);
  expect(await store.tasks.create(task)).toMatchObject({ key: "A-1" });
});

test("a row that another program locks holds up its own thread, loses nothing, and no other thread waits", async (t) => {
  const { store, ownership, other } = await openOwned(t);
  const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), PENDING);
  await other.query("begin");
  await other.query("select from inbox where conversation_id = $1 for update", [conversationId]);

  const change = { conversationId, attempts: 1, interruptions: 0, nextAttemptAt: null, lastError: null };
  const held = Promise.all([
    ownership.record({ shard: 0, message: { ...change, status: "claimed" } }),
    ownership.record({ shard: 0, message: { ...change, status: "dead", lastError: "last" } }),
    ownership.accept(aMessage({ gateway: "a" }), PENDING),
  ]);
  await backends(other, WRITES);
  for (const shard of [1, 2, 3]) await ownership.accept(aMessage({ gateway: "a" }), { ...PENDING, shard });
  await other.query("commit");
  await held;

  expect(await store.conversation(conversationId)).toMatchObject({ status: "dead", lastError: "last" });
  expect(await ownership.openMessages({ after: 0, limit: 9 })).toHaveLength(4);
});

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Cond"?: string;
  "Recheck Cond"?: string;
  Plans?: PlanNode[];
}

/** The plan that a prepared statement of the writer keeps, as the nodes that read the tables of history. */
async function readingNodes(other: Client, text: string): Promise<PlanNode[]> {
  const count = Math.max(...[...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)));
  await other.query(`${PLANNED_ONCE}; deallocate all`);
  await other.query(`prepare way as ${text}`);
  const parameters = ["1", ...Array(count - 1).fill("null")].join(", ");
  const { rows } = await other.query(`explain (format json) execute way (${parameters})`);
  const nodes: PlanNode[] = [];
  const walk = (node: PlanNode) => {
    if (/^(conversations|process_events|process_event_deliveries|inbox)$/.test(node["Relation Name"] ?? "")) {
      if (node["Node Type"] !== "ModifyTable") nodes.push(node);
    }
    for (const child of node.Plans ?? []) walk(child);
  };
  walk(rows[0]["QUERY PLAN"][0].Plan);
  return nodes;
}

test.for([...WAY_STATEMENTS, UNOWNED, HIDE])(
  "the writer's statement $name finds its rows by index, planned on empty tables and on big ones alike",
  async ({ text }, t) => {
    const { other } = await openOwned(t);
    const onEmpty = await readingNodes(other, text);

    await other.query(`
    insert into conversations (message_id, gateway_id, gateway_channel_id, user_id, role, content, is_addressed,
      idempotency_key, created_at)
    select i::text, 1, 'C', 'U', 'user', 'x', 1, i::text, i from generate_series(1, 50000) i;
    insert into inbox (conversation_id, status, attempts, is_unowned)
    select i, 'dead', 0, 0 from generate_series(1, 50000) i;
    insert into process_events (conversation_id, sequence, kind, content, created_at)
    select i, 1, 'completed', 'x', i from generate_series(1, 50000) i;
    insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts)
    select i, 1, 'C', i::text, 'done', 1 from generate_series(1, 50000) i;
    analyze`);
    const onBig = await readingNodes(other, text);

    for (const nodes of [onEmpty, onBig]) {
      expect(nodes.length).toBeGreaterThan(0);
      const byTable = nodes.filter((node) => !(node["Index Cond"] ?? node["Recheck Cond"]));
      // Perhaps a few of the newest rows of an index that holds only what waits to be taken.
      for (const node of byTable) expect(node).toMatchObject({ "Index Name": "inbox_unowned" });
    }
  },
);
