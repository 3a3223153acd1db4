import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStore } from "../../store/open-store.ts";
import { aMessage, echoWorker } from "../../testing/builders.ts";
import { type DatabaseKind, databaseKinds } from "../../testing/databases.ts";
import { fakeGateway } from "../../testing/fake-gateway.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import { webhook } from "./index.ts";
import { type Answer, aDelivery, failureOf, startReceiver, withStatus } from "./test-receiver.ts";

const MINUTE_MS = 60_000;
const { signal } = new AbortController();

/** A loop whose webhook gateway takes what the test says; the subscribers are changed by another process. */
async function start({ create }: DatabaseKind) {
  const location = await create({ onTestFinished });
  const store = await openStore(location);
  onTestFinished(() => store.close());
  const { subscribers } = store;
  const gateway = webhook({ subscribers, allowCallbackHosts: ["127.0.0.1"] });
  const accept = Promise.withResolvers<Parameters<typeof gateway.start>[0]["accept"]>();
  const running = {
    ...gateway,
    start(context: Parameters<typeof gateway.start>[0]) {
      accept.resolve(context.accept);
      return gateway.start(context);
    },
  };
  const { loop, idle, clock } = await startTestLoop(
    { onTestFinished },
    { location, gateways: [running, fakeGateway()], workers: [echoWorker] },
  );
  const post = async (content: string, channelId = "webhook") => {
    const { conversationId } = await (await accept.promise)({ content, channelId });
    await idle();
    return conversationId;
  };
  const subscribe = async (...answers: Answer[]) => {
    const receiver = await startReceiver(...answers);
    const added = await subscribers.add(
      { callbackUrl: receiver.url, description: null },
      { maxSubscribers: 9 },
    );
    const contents = () => receiver.received.map(({ body }) => JSON.parse(body).content);
    return { ...receiver, contents, id: added?.subscriber.id ?? 0 };
  };
  const eventOf = async (conversationId: number) => (await store.events(conversationId))[0];
  return { location, store, subscribers, loop, idle, clock, post, subscribe, eventOf };
}

describe.each(databaseKinds)("subscribers on $name", (kind) => {
  test("a message without a callback gets one delivery for each subscriber, each with an id of its own", async () => {
    const { post, subscribe, eventOf } = await start(kind);
    const one = await subscribe();
    const two = await subscribe();

    const event = await eventOf(await post("/echo hello"));

    expect([one.contents(), two.contents()]).toEqual([["hello"], ["hello"]]);
    const [first, second] = [one, two].map(({ received }) => JSON.parse(received[0]?.body ?? ""));
    expect(first).toMatchObject({ kind: "completed", channel_id: "webhook", thread_ts: null, attempt: 1 });
    expect(first.delivery_id).not.toBe(second.delivery_id);
    expect(event?.deliveredAt).toEqual(expect.any(Number));
    expect(event?.deliveries.map(({ target }) => target).sort()).toEqual([one.url, two.url].sort());
    expect(event?.deliveries.map(({ deliveryId }) => deliveryId).sort()).toEqual(
      [first.delivery_id, second.delivery_id].sort(),
    );
  });

  test("without subscribers an event is delivered by being there", async () => {
    const { post, eventOf } = await start(kind);

    expect(await eventOf(await post("/echo hello"))).toMatchObject({
      deliveries: [],
      deliveredAt: expect.any(Number),
    });
  });

  test("who subscribes gets what comes from then on, and a message with a callback is not for him", async () => {
    const { post, subscribe } = await start(kind);
    const asker = await startReceiver();
    await post("/echo before");
    const subscriber = await subscribe();

    await post("/echo private", asker.url);
    await post("/echo after");

    expect(subscriber.contents()).toEqual(["after"]);
    expect(asker.received).toHaveLength(1);
  });

  test("a subscriber who fails holds up no other, and his events come in their order", async () => {
    const { post, subscribe, eventOf, clock, idle } = await start(kind);
    const failing = await subscribe(withStatus(503), withStatus(503), withStatus(204));
    const sound = await subscribe();

    const first = await post("/echo one");
    await post("/echo two");
    expect(sound.contents()).toEqual(["one", "two"]);
    expect((await eventOf(first))?.deliveredAt).toBeUndefined();
    expect(failing.contents()).toEqual(["one"]);

    await clock.advance(MINUTE_MS);
    const contents = async () => {
      await clock.advance(MINUTE_MS);
      await idle();
      return failing.contents();
    };
    await expect.poll(contents).toEqual(["one", "one", "one", "two"]);
    expect((await eventOf(first))?.deliveredAt).toEqual(expect.any(Number));
    expect(new Set(failing.received.slice(0, 3).map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  });

  test("what was not delivered to a deleted subscriber is closed with the reason, and not tried again", async () => {
    const { post, subscribe, subscribers, eventOf, clock, idle, loop } = await start(kind);
    const failing = await subscribe(withStatus(503));
    const sound = await subscribe();
    const conversationId = await post("/echo one");

    expect(await subscribers.remove(failing.id)).toBe(true);
    await clock.advance(10 * MINUTE_MS);
    await idle();

    expect(failing.received).toHaveLength(1);
    expect(loop.health().openDeliveries).toBe(0);
    const event = await eventOf(conversationId);
    expect(event?.deliveredAt).toEqual(expect.any(Number));
    expect(event?.deliveries.find(({ target }) => target === failing.url)).toMatchObject({
      status: "done",
      deliveredAt: null,
      lastError: expect.stringContaining("Its subscriber was deleted"),
    });
    expect(await subscribers.remove(failing.id)).toBe(false);
    expect((await subscribers.list()).map(({ callbackUrl }) => callbackUrl)).toEqual([sound.url]);
  });

  test("what came through no gateway goes to the subscribers too", async () => {
    const { subscribe, store, idle } = await start(kind);
    const subscriber = await subscribe();

    await store.insertUnowned(aMessage({ gateway: null, content: "/echo announced" }));
    const contents = async () => {
      await idle();
      return subscriber.contents();
    };
    await expect.poll(contents).toEqual(["announced"]);
  });

  test("adding twice keeps the id, and there are at most so many", async () => {
    const { subscribers } = await start(kind);
    const add = (callbackUrl: string, description: string | null = null) =>
      subscribers.add({ callbackUrl, description }, { maxSubscribers: 2 });

    const first = await add("https://a.example/", "first");
    const again = await add("https://a.example/");
    const renamed = await add("https://a.example/", "renamed");
    await add("https://b.example/");

    expect(first?.isNew).toBe(true);
    expect(again).toEqual({ isNew: false, subscriber: first?.subscriber });
    expect(renamed).toEqual({ isNew: false, subscriber: { ...first?.subscriber, description: "renamed" } });
    expect(await add("https://c.example/")).toBeUndefined();
    expect((await add("https://b.example/"))?.isNew).toBe(false);
  });
});

test("a subscriber whose name leads to a private address by the time of the delivery is not called", async () => {
  const inner = await startReceiver();
  const gateway = webhook({ lookup: async () => [{ address: "127.0.0.1", family: 4 }] });

  const target = `http://hooks.example:${inner.port}/`;
  const failure = await failureOf(gateway.send(aDelivery({ target, channelId: "webhook" }), { signal }));

  expect(failure).toMatchObject({ code: "CALLBACK_REFUSED", retry: "never" });
  expect(inner.connections.made).toBe(0);
});

test("an event that is stored while a subscriber is being deleted makes no delivery that stays open", async () => {
  const kind = databaseKinds.find(({ name }) => name === "postgres") as DatabaseKind;
  const { location, subscribe, subscribers, post, eventOf } = await start(kind);
  const leaving = await subscribe();
  const staying = await subscribe();
  const other = new pg.Client({ connectionString: location });
  await other.connect();
  onTestFinished(() => other.end());
  await other.query("begin");
  await other.query("delete from subscribers where id = $1", [leaving.id]);

  const posting = post("/echo hello");
  const waitingForUs = async () => {
    await other.query("select pg_stat_clear_snapshot()");
    const blocked = "select from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid))";
    return (await other.query(blocked)).rowCount;
  };
  await expect.poll(waitingForUs).toBeGreaterThan(0);
  await other.query("commit");
  const event = await eventOf(await posting);

  expect(event?.deliveries.map(({ target }) => target)).toEqual([staying.url]);
  expect(leaving.received).toEqual([]);
  expect(await subscribers.remove(leaving.id)).toBe(false);
});
