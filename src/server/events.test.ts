import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../core/logger.ts";
import { openStore } from "../store/open-store.ts";
import { aWorker } from "../testing/builders.ts";
import { type DatabaseKind, databaseKinds } from "../testing/databases.ts";
import { openEventSource } from "../testing/event-source.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { type ServerOptions, startServer } from "./index.ts";

const sqlite = databaseKinds.find(({ name }) => name === "sqlite") as DatabaseKind;

/** Emits what the message says: `emit 3 x` three events, the last of them final. */
const emitter = aWorker(async ({ content }, _args, { emit }) => {
  const [, count = "1", text = "x"] = content.split(" ");
  for (let n = 1; n < Number(count); n += 1) await emit("progress", `${text} ${n}`);
  await emit("completed", `${text} ${count}`);
});

/** A loop with a server on it; a second call with the same location is the program started again. */
async function start(location: string, options: Partial<ServerOptions> = {}) {
  const gateway = fakeGateway({ targets: () => [] });
  const t = { onTestFinished };
  const { loop, store, stop } = await startTestLoop(t, { location, gateways: [gateway], workers: [emitter] });
  const server = await startServer({
    port: 0,
    routes: [],
    store,
    events: { feed: store.feed, onEvents: (callback) => loop.onEvents(callback) },
    health: () => loop.health(),
    log: silentLogger,
    ...options,
  });
  onTestFinished(() => server.close());
  const connectTo = (query = "", headers: Record<string, string> = {}) =>
    openEventSource(t, `${server.url}/events${query}`, headers);
  const stopAll = async () => {
    await server.close();
    await stop();
  };
  return { gateway, server, store, connectTo, stop: stopAll, say: gateway.say };
}

/** Much less than what a thousand of these are, even with what the system holds for a connection. */
const SMALL_BUFFER = { maxStreamBufferBytes: 64 * 1024 };
const LONG = "x".repeat(20_000);
const ONE_TO_THOUSAND = Array.from({ length: 1000 }, (_, index) => index + 1);

/** A program that has connected, and then takes nothing from its socket until told. */
async function stalledClient(port: number) {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  let isClosed = false;
  socket.on("error", () => undefined).on("close", () => (isClosed = true));
  socket.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  let taken = String((await once(socket.setEncoding("utf8"), "data"))[0]);
  socket.pause();
  const wholeBlocks = () => taken.split("\n\n").slice(0, -1);
  return {
    lastId: () =>
      [
        ...wholeBlocks()
          .join("\n\n")
          .matchAll(/^id: (\S+)$/gm),
      ].at(-1)?.[1] ?? "",
    /** The numbers in the events that came. */
    numbers: () =>
      wholeBlocks().flatMap((block) => / (\d+)","created_at/.exec(block)?.slice(1).map(Number) ?? []),
    /** Reads on until the event of this number has come, or the connection is closed. */
    async readUntil(last: number) {
      const arrived = Promise.withResolvers<void>();
      socket.on("data", (text) => {
        taken += text;
        if (String(text).includes(`${last}","created_at`)) arrived.resolve();
      });
      socket.on("close", () => arrived.resolve());
      socket.resume();
      if (!isClosed) await arrived.promise;
    },
  };
}

const textsOf = (events: { data: unknown }[]) =>
  events.map(({ data }) => (data as { content: string }).content);

describe.each(databaseKinds)("GET /events on $name", (kind) => {
  test("each event comes as it is stored, with its id and its thread", async () => {
    const { connectTo, say } = await start(await kind.create({ onTestFinished }));
    const stream = await connectTo();

    const { conversationId } = await say("emit 2 hi", { channelId: "C7", threadTs: "T1" });
    const [progress, completed] = await stream.next(2);

    expect(stream.status).toBe(200);
    expect(stream.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(progress?.event).toBe("process-event");
    expect(progress?.data).toEqual({
      event_id: expect.any(Number),
      conversation_id: conversationId,
      kind: "progress",
      content: "hi 1",
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      gateway: "fake",
      channel_id: "C7",
      thread_ts: "T1",
    });
    expect(completed?.data).toMatchObject({ kind: "completed", content: "hi 2" });
    expect(completed?.id).not.toBe(progress?.id);
  });

  test("a client that comes back after a restart misses nothing and gets nothing twice", async () => {
    const location = await kind.create({ onTestFinished });
    const first = await start(location);
    const before = await first.connectTo();
    await first.say("emit 3 a");
    const [, second] = await before.next(2);
    before.close();
    await first.stop();

    const again = await start(location);
    await again.say("emit 1 b");
    const after = await again.connectTo("", { "last-event-id": second?.id ?? "" });

    expect(textsOf(await after.next(2))).toEqual(["a 3", "b 1"]);
    await again.say("emit 1 c");
    expect(textsOf(await after.next(1))).toEqual(["c 1"]);
  });

  test("a client that was cut off before its first event knows where to go on", async () => {
    const { connectTo, say } = await start(await kind.create({ onTestFinished }));
    await say("emit 1 old");
    const first = await connectTo("?conversation=1&since=beginning");
    await first.next(1);
    const idle = await connectTo();
    const opened = idle.next(1).catch(() => undefined);
    await expect.poll(() => idle.lastEventId()).not.toBe("");
    idle.close();
    await opened;

    await say("emit 1 missed");
    const back = await connectTo("", { "last-event-id": idle.lastEventId() });

    expect(textsOf(await back.next(1))).toEqual(["missed 1"]);
  });

  test("a stream has what its filter names, and a conversation can be read from its beginning", async () => {
    const { connectTo, say } = await start(await kind.create({ onTestFinished }));
    const { conversationId } = await say("emit 2 one", { channelId: "C1", threadTs: "T1" });
    const fromBeginning = await connectTo(`?conversation=${conversationId}&since=beginning`);
    expect(textsOf(await fromBeginning.next(2))).toEqual(["one 1", "one 2"]);
    const streams = await Promise.all([
      connectTo("?channel=C2"),
      connectTo("?thread=T2"),
      connectTo("?gateway=fake&thread="),
      connectTo("?gateway=other"),
    ]);

    await say("emit 1 two", { channelId: "C2" });
    await say("emit 1 three", { channelId: "C1", threadTs: "T2" });
    await say("emit 1 four", { channelId: "C2" });

    const [channel, thread, unthreaded, other] = streams;
    expect(textsOf((await channel?.next(2)) ?? [])).toEqual(["two 1", "four 1"]);
    expect(textsOf((await thread?.next(1)) ?? [])).toEqual(["three 1"]);
    expect(textsOf((await unthreaded?.next(2)) ?? [])).toEqual(["two 1", "four 1"]);
    other?.close();
    expect(await other?.rest()).toEqual([]);
  });

  test("a thousand events reach a client who reads too slowly, and one who reads at once", async () => {
    const { connectTo, say, server } = await start(await kind.create({ onTestFinished }), SMALL_BUFFER);
    const slow = await stalledClient(server.port);
    const quick = await connectTo("", { "last-event-id": slow.lastId() });

    await say(`emit 1000 ${LONG}`);
    const quickTexts = textsOf(await quick.next(1000));
    await slow.readUntil(1000);

    expect(slow.numbers()).toEqual(ONE_TO_THOUSAND);
    expect(quickTexts.map((text) => Number(text.split(" ")[1]))).toEqual(ONE_TO_THOUSAND);
  });
});

test("a client who takes nothing any more is cut off, and comes back for the rest", async () => {
  const cutOff = Promise.withResolvers<void>();
  const info = (_fields: object, text: string) => text.includes("takes nothing") && cutOff.resolve();
  const options = { ...SMALL_BUFFER, heartbeatMs: 30, log: { ...silentLogger, info } };
  const { connectTo, say, server } = await start(await sqlite.create({ onTestFinished }), options);
  const stalled = await stalledClient(server.port);

  await say(`emit 1000 ${LONG}`);
  await cutOff.promise;
  await stalled.readUntil(1000);
  const seen = stalled.numbers();
  const back = await connectTo("", { "last-event-id": stalled.lastId() });
  const rest = textsOf(await back.next(1000 - seen.length));

  expect(seen.length).toBeLessThan(1000);
  expect([...seen, ...rest.map((text) => Number(text.split(" ")[1]))]).toEqual(ONE_TO_THOUSAND);
});

test("without a loop events are looked for", async () => {
  const location = await sqlite.create({ onTestFinished });
  const { say } = await start(location);
  const store = await openStore(location);
  const server = await startServer({
    ...{ port: 0, routes: [], store, health: () => ({ isReady: true }) },
    events: { feed: store.feed },
  });
  onTestFinished(() => server.close().then(() => store.close()));
  const stream = await openEventSource({ onTestFinished }, `${server.url}/events`);

  await say("emit 1 elsewhere");

  expect(textsOf(await stream.next(1))).toEqual(["elsewhere 1"]);
});

test("a stream on which nothing happens shows that it is there", async () => {
  const { connectTo } = await start(await sqlite.create({ onTestFinished }), { heartbeatMs: 20 });
  const stream = await connectTo("?gateway=none");

  expect(await stream.comment()).toBe("heartbeat");
  expect(await stream.comment()).toBe("heartbeat");
  expect(stream.lastEventId()).not.toBe("");
});

test("closing the server ends the streams at once", async () => {
  const { connectTo, server } = await start(await sqlite.create({ onTestFinished }), {
    closeGraceMs: 60_000,
  });
  const stream = await connectTo();

  const rest = stream.rest();
  await server.close();

  expect(await rest).toEqual([]);
});

test("a stream needs the token, and there are at most maxEventStreams", async () => {
  const location = await sqlite.create({ onTestFinished });
  const { connectTo, server } = await start(location, { token: "s3cret", maxEventStreams: 1 });
  const authorization = { authorization: "Bearer s3cret" };

  expect((await connectTo()).status).toBe(401);
  const first = await connectTo("", authorization);
  const second = await fetch(`${server.url}/events`, { headers: authorization });
  first.close();

  expect(first.status).toBe(200);
  expect(second.status).toBe(429);
  expect(second.headers.get("retry-after")).toBe("1");
  expect(await second.json()).toMatchObject({ message: expect.stringContaining("maxEventStreams (1)") });
  await expect.poll(async () => (await connectTo("", authorization)).status).toBe(200);
});

test.each([
  ["?conversation=x", 400, "no conversation_id"],
  ["?conversation=1&conversation=2", 400, "more than once"],
  ["?since=beginning", 400, "since needs a conversation"],
  ["?conversation=1&since=yesterday", 400, "beginning"],
  ["?conversations=1", 400, 'unknown parameter "conversations"'],
  ["?conversation=17", 404, 'conversation "17"'],
])("GET /events%s is answered %i", async (query, status, reason) => {
  const { server } = await start(await sqlite.create({ onTestFinished }));

  const answer = await fetch(`${server.url}/events${query}`);

  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ message: expect.stringContaining(reason) });
});

test("an id that is no cursor is refused before the stream begins", async () => {
  const { server } = await start(await sqlite.create({ onTestFinished }));

  const answer = await fetch(`${server.url}/events`, { headers: { "last-event-id": "17" } });

  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ hint: expect.stringContaining("Last-Event-ID") });
});
