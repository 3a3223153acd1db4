/** What others than the owner write, and what it writes rarely, in other orders than someone else does. */
import { expect, test } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { aChange, anEvent } from "../../testing/store-suite/set-up.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { crossed, isWaitedFor, openWithDeadlocks } from "./deadlock.fixture.ts";

const RUN = { worker: "w", version: 1, isDetached: true, lane: null, title: "A run", createdAt: 1, round: 1 };
const CLAIMED = { shard: 0, status: "claimed", attempts: 1 } as const;
const lockMessage = (id = 0) => `select 1 from inbox where conversation_id = ${id} for update`;

/** Two runs that wait for the same event until a time. */
async function openWithWaiting(t: TestEnd) {
  const opened = await openWithDeadlocks(t);
  const ids: number[] = [];
  for (let index = 0; index < 2; index += 1) {
    const { conversationId } = await opened.ownership.accept(aMessage({ gateway: "a" }), CLAIMED);
    ids.push(conversationId);
    const event = { name: "ci", kind: "event", text: "", key: "ci", askedAt: 1 } as const;
    await opened.ownership.record({
      shard: 0,
      message: aChange(conversationId, { status: "waiting", attempts: 0, nextAttemptAt: 10 }),
      run: { conversationId, begin: RUN, decisions: [{ ...event, choices: [], dueAt: 10 }] },
    });
  }
  return { ...opened, crossing: { holds: lockMessage(ids[1]), wants: lockMessage(ids[0]) } };
}

test.concurrent("the deliveries of a subscriber who is removed are closed, whoever locks them in another order", async (t) => {
  const { store, ownership, other } = await openWithDeadlocks(t);
  const { conversationId } = await ownership.accept(aMessage({ gateway: "a" }), CLAIMED);
  const wanted = { callbackUrl: "https://example.org/hook", description: null };
  const added = await store.subscribers.add(wanted, { maxSubscribers: 9 });
  const events = [1, 2].map((sequence) =>
    anEvent(conversationId, { sequence, subscribersOf: "a", deliveries: [] }),
  );
  const stored = await ownership.record({ shard: 0, events });
  const [wants = "", holds = ""] = stored.map(
    ({ eventId }) => `select 1 from process_event_deliveries where event_id = ${eventId} for update`,
  );

  const id = added?.subscriber.id ?? 0;
  expect(await crossed(other, { holds, wants }, () => store.subscribers.remove(id))).toBe(true);

  const { rows } = await other.query("select status, last_error from process_event_deliveries");
  expect(rows).toEqual(events.map(() => ({ status: "done", last_error: "Its subscriber was deleted" })));
});

test.concurrent("an event is told to all who wait for it, whoever locks them in another order", async (t) => {
  const { store, other, crossing } = await openWithWaiting(t);

  expect(await crossed(other, crossing, () => store.runs.signal("ci", { value: 1, at: 5 }))).toBe(2);

  expect((await other.query("select from run_signals")).rows).toEqual([]);
});

test.concurrent("those whose time has come are woken, whoever locks them in another order", async (t) => {
  const { ownership, other, crossing } = await openWithWaiting(t);

  expect(await crossed(other, crossing, () => ownership.wakeDue(30))).toBe(2);
});

test.concurrent("what nobody runs expires, whoever locks it in another order", async (t) => {
  const { store, ownership, other } = await openWithDeadlocks(t);
  const insert = () => store.insertUnowned(aMessage({ gateway: "gone", createdAt: 1 }));
  const [first, second] = [await insert(), await insert()];

  const crossing = {
    holds: lockMessage(second.conversationId),
    wants: lockMessage(first.conversationId),
  };
  expect(await crossed(other, crossing, () => ownership.expireUnregistered(5))).toEqual([]);

  expect(await store.deadLetters({ limit: 9 })).toHaveLength(2);
});

test.concurrent("retention removes what is old, whoever locks it in another order", async (t) => {
  const { store, ownership, other } = await openWithDeadlocks(t);
  const ids: number[] = [];
  for (let index = 0; index < 3; index += 1) {
    const message = aMessage({ gateway: "a", createdAt: 1 });
    const { conversationId } = await ownership.accept(message, CLAIMED);
    ids.push(conversationId);
    await ownership.record({ shard: 0, message: aChange(conversationId, { status: "dead" }) });
  }
  const epoch = (await store.retention.claim({ now: 100, since: 0 })) ?? 0;
  const batch = { part: "messages", epoch, now: 100, before: 50, deadBefore: 50 } as const;

  const crossing = { holds: lockMessage(ids[1]), wants: lockMessage(ids[0]) };
  const removed = await crossed(other, crossing, () =>
    store.retention.removeBatch({ ...batch, keep: 1e9, limit: 9, after: 0 }),
  );

  expect(removed).toEqual({ removed: 2, next: undefined });
});

test.concurrent("two tasks that name new repositories in different orders are both created", async (t) => {
  const { store, other } = await openWithDeadlocks(t);
  const insert = (url: string) =>
    `insert into repos (url, created_at) values ('${url}', 0) on conflict do nothing`;
  const repoUrls = ["git@example.org:a.git", "git@example.org:b.git"];

  const crossing = { holds: insert(repoUrls[1] ?? ""), wants: insert(repoUrls[0] ?? "") };
  const task = { key: "SHOP-1", summary: "s", description: "", project: "SHOP", repoUrls };
  const created = await crossed(other, crossing, () => store.tasks.create(task));

  expect(created.repositories.map(({ url }) => url).sort()).toEqual(repoUrls);
});

test.concurrent("who has said much is counted once, whoever locks the counts in another order", async (t) => {
  const { store, other } = await openWithDeadlocks(t);
  const subjects = (["user", "channel"] as const).map((scope) => ({ scope, subject: "x", max: 9 }));
  const window = { now: 10, windowMs: 100 };
  await store.admission.countRequest(subjects, window);
  const lock = (scope: string) => `select 1 from rate_limits where scope = '${scope}' for update`;

  const crossing = { holds: lock("channel"), wants: lock("user") };
  const counted = await crossed(other, crossing, () => store.admission.countRequest(subjects, window));

  expect(counted).toMatchObject([{ count: 2 }, { count: 2 }]);
});

test.concurrent("two processes that name new gateways in different orders both start", async (t) => {
  const { store, other } = await openWithDeadlocks(t);
  const insert = (name: string) => `insert into gateways (name, created_at) values ('${name}', 0)`;

  const crossing = { holds: insert("x"), wants: insert("y") };
  const own = () => store.own({ owner: "second", gateways: ["y", "x"], now: 0 });
  const joined = await crossed(other, crossing, own);

  expect(joined.epoch).toBeGreaterThan(0);
});

test.concurrent("shards are let go without a word of trouble, whoever locks them in another order", async (t) => {
  const { ownership, other } = await openWithDeadlocks(t);
  const troubles: unknown[] = [];
  ownership.onReach((error) => error !== undefined && troubles.push(error));
  const lock = (shard: number) =>
    `select 1 from shard_leases l join gateways g on g.id = l.gateway_id where shard = ${shard} for update of l`;
  const keys = [1, 2].map((shard) => ({ gateway: "a", shard }));

  await crossed(other, { holds: lock(2), wants: lock(1) }, () => ownership.letGo(keys));

  expect(troubles).toEqual([]);
  expect(keys.some(({ gateway, shard }) => ownership.holds(gateway, shard))).toBe(false);
});

test.concurrent("a pull request that is opened at the same moment as another one gets the next number", async (t) => {
  const { store, other } = await openWithDeadlocks(t);
  await other.query("begin");
  await other.query(`insert into pull_requests (repo_url, number, head, base, title, body, head_sha, status, is_draft,
    created_at, updated_at) values ('r', 1, 'other', 'main', 't', 'b', 's', 'open', 0, 0, 0)`);
  const request = { repoUrl: "r", head: "ours", base: "main", title: "t", body: "b", headSha: "s" };

  const opened = store.pullRequests.findOrCreate(request);
  opened.catch(() => undefined);
  await isWaitedFor(other);
  await other.query("commit");

  expect(await opened).toMatchObject({ number: 2, isNew: true });
});
