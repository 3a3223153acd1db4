import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { hasCode, RobsonError } from "../../core/errors.ts";
import type { Accepted } from "../../core/gateway.ts";
import { silentLogger } from "../../core/logger.ts";
import type { InboundMessage } from "../../core/message-event.ts";
import { type WebhookOptions, webhook } from "./index.ts";

interface Options extends WebhookOptions {
  accept?: (message: InboundMessage) => Promise<Accepted>;
}

/** The gateway's routes on a real server that shows thrown codes as JSON, and what was accepted. */
async function serve({ accept, ...options }: Options = {}) {
  const accepted: InboundMessage[] = [];
  const gateway = webhook(options);
  const stop = new AbortController();
  const started = gateway.start({
    accept: (message) => {
      accepted.push(message);
      return accept?.(message) ?? Promise.resolve({ conversationId: accepted.length, isDuplicate: false });
    },
    signal: stop.signal,
    log: silentLogger,
  });
  const url = await mount(gateway.routes);
  const stopped = () => {
    stop.abort();
    return started;
  };
  return { url, accepted, stop: stopped };
}

async function mount(routes: Hono): Promise<string> {
  const app = new Hono().route("/", routes);
  app.onError((error, c) => {
    if (!(error instanceof RobsonError)) return c.json({ code: "?", message: String(error) }, 500);
    return c.json({ code: error.code, message: error.message, hint: error.hint }, 400);
  });
  const server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/message`;
}

async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("a message is acknowledged with the id under which it was accepted", async () => {
  const { url, accepted } = await serve({ accept: async () => ({ conversationId: 42, isDuplicate: false }) });

  const answer = await post(url, {
    content: "/echo hello",
    channel_id: "https://hooks.example/a",
    user_id: "ada",
    thread_ts: "t1",
    external_id: "e1",
  });

  expect(answer).toEqual({ status: 202, body: { conversation_id: 42, duplicate: false } });
  expect(accepted).toEqual([
    {
      content: "/echo hello",
      channelId: "https://hooks.example/a",
      userId: "ada",
      threadTs: "t1",
      idempotencyKey: "e1",
    },
  ]);
});

test("the acknowledgement waits for the commit", async () => {
  const commit = Promise.withResolvers<Accepted>();
  const { url, accepted } = await serve({ accept: () => commit.promise });
  let isAnswered = false;

  const answering = post(url, { content: "hi" }).then((answer) => {
    isAnswered = true;
    return answer;
  });
  await expect.poll(() => accepted.length).toBe(1);
  expect(isAnswered).toBe(false);
  commit.resolve({ conversationId: 1, isDuplicate: false });

  expect((await answering).status).toBe(202);
});

test("a duplicate is passed on as such", async () => {
  const { url } = await serve({ accept: async () => ({ conversationId: 7, isDuplicate: true }) });

  const answer = await post(url, { content: "hi", external_id: "e1" });

  expect(answer).toEqual({ status: 202, body: { conversation_id: 7, duplicate: true } });
});

test("only the content is required; null and '' mean none", async () => {
  const { url, accepted } = await serve();

  await post(url, { content: "hi" });
  await post(url, { content: "ho", channel_id: null, user_id: null, thread_ts: null, external_id: null });
  await post(url, { content: "hi", channel_id: "", user_id: "", thread_ts: "", external_id: "" });

  const none = { channelId: "webhook" };
  expect(accepted).toEqual([
    { content: "hi", ...none },
    { content: "ho", ...none },
    { content: "hi", ...none },
  ]);
});

test("an emoji, a NUL and half a character arrive as they were sent", async () => {
  const { url, accepted } = await serve();

  await post(url, '{"content": "👩‍👩‍👧 \\ud83d\\u0000 \\ud83d\\ude00", "user_id": "\\udc00"}');

  expect(accepted).toEqual([{ content: "👩‍👩‍👧 \ud83d\0 😀", channelId: "webhook", userId: "\udc00" }]);
});

test.each([
  ["no JSON", "hello", "not valid JSON"],
  ["an empty body", "", "not valid JSON"],
  ["a text", '"hello"', "not an object"],
  ["a list", "[]", "not an object"],
  ["null", "null", "not an object"],
  ["no content", "{}", '"content" is missing'],
  ["an empty content", { content: "" }, '"content" is empty'],
  ["blank content", { content: " \n\t" }, '"content" is empty'],
  ["a number as content", { content: 1 }, '"content" is missing or not a string'],
  ["null as content", { content: null }, '"content"'],
  ["a number as external_id", { content: "x", external_id: 17 }, '"external_id"'],
  ["an object as channel_id", { content: "x", channel_id: {} }, '"channel_id"'],
  ["an unknown field", { content: "x", channel: "y" }, 'unknown field "channel"'],
  ["__proto__", '{"content": "x", "__proto__": {"channel_id": "y"}}', "__proto__"],
])("a body with %s is refused with a reason", async (_name, body, reason) => {
  const { url, accepted } = await serve();

  const answer = await post(url, body);

  expect(answer.body).toMatchObject({ code: "MESSAGE_INVALID", hint: expect.any(String) });
  expect(answer.body.message).toContain(reason);
  expect(accepted).toEqual([]);
});

test("an unknown field's name is cut between characters in the reason", async () => {
  const { url } = await serve();

  const { body } = await post(url, { content: "x", ["👩‍👩‍👧".repeat(500)]: 1 });

  expect(String(body.message).length).toBeLessThan(4000);
  expect(String(body.message)).toMatch(/👩‍👩‍👧…$/);
});

test.each([
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/jsonx",
])("the content type %s is refused", async (contentType) => {
  const { url } = await serve();

  const { body } = await post(url, { content: "hi" }, { "content-type": contentType });

  expect(body).toMatchObject({ code: "MESSAGE_INVALID", hint: expect.stringContaining("application/json") });
});

test("a charset and a JSON dialect are fine as a content type", async () => {
  const { url } = await serve();

  for (const contentType of [
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "application/cloudevents+json",
  ]) {
    expect((await post(url, { content: "hi" }, { "content-type": contentType })).status).toBe(202);
  }
});

test("a body that is no UTF-8 is refused, instead of stored with its letters lost", async () => {
  const { url } = await serve();

  const { body } = await post(url, Buffer.from('{"content": "größer"}', "latin1"));

  expect(body).toMatchObject({ code: "MESSAGE_INVALID", message: expect.stringContaining("UTF-8") });
});

test("a body of maxBodyBytes is accepted and one byte more is not, with and without a declared length", async () => {
  const { url, accepted } = await serve({ maxBodyBytes: 100 });
  const bodyOf = (bytes: number) => JSON.stringify({ content: "x".repeat(bytes - '{"content":""}'.length) });

  expect((await post(url, bodyOf(100))).status).toBe(202);
  expect((await post(url, bodyOf(101))).body).toMatchObject({
    code: "MESSAGE_TOO_LARGE",
    message: expect.stringContaining("maxBodyBytes (100 bytes)"),
  });
  expect(await postChunked(url, bodyOf(100))).toContain("202 Accepted");
  expect(await postChunked(url, bodyOf(101))).toContain("MESSAGE_TOO_LARGE");
  expect(accepted).toHaveLength(2);
});

test.each(["http://127.0.0.1/", "http://2130706433/", "https://u:p@hooks.example/", "ftp://hooks.example/"])(
  "the callback URL %s is refused before anything is stored",
  async (channelId) => {
    const { url, accepted } = await serve();

    const { body } = await post(url, { content: "hi", channel_id: channelId });

    expect(body).toMatchObject({ code: "CALLBACK_REFUSED", hint: expect.any(String) });
    expect(accepted).toEqual([]);
  },
);

test("an allowed callback URL is accepted", async () => {
  const { url } = await serve({ allowCallbackHosts: ["127.0.0.1:9000"] });

  expect((await post(url, { content: "hi", channel_id: "http://127.0.0.1:9000/" })).status).toBe(202);
});

test("nothing is accepted before the start and after the stop", async () => {
  const unstarted = await mount(webhook().routes);
  const stopped = await serve();
  await stopped.stop();

  for (const url of [unstarted, stopped.url]) {
    expect((await post(url, { content: "hi" })).body.code).toBe("STOPPING");
  }
  expect(stopped.accepted).toEqual([]);
});

test("an error of the inbox reaches the server unchanged", async () => {
  const error = new RobsonError("STORE_BUSY", "Cannot store", { hint: "Again" });
  const { url } = await serve({ accept: () => Promise.reject(error) });

  const { body } = await post(url, { content: "hi" });

  expect(hasCode(error, "STORE_BUSY")).toBe(true);
  expect(body).toEqual({ code: "STORE_BUSY", message: "Cannot store", hint: "Again" });
});

/** The raw answer to a POST whose body has no declared length. */
async function postChunked(url: string, body: string): Promise<string> {
  const { port, host } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  const half = Math.floor(body.length / 2);
  const head = [
    "POST /message HTTP/1.1",
    `host: ${host}`,
    "content-type: application/json",
    "transfer-encoding: chunked",
    "connection: close",
  ];
  const chunks = [body.slice(0, half), body.slice(half)].map(
    (text) => `${text.length.toString(16)}\r\n${text}\r\n`,
  );
  socket.write(`${head.join("\r\n")}\r\n\r\n${chunks.join("")}0\r\n\r\n`);
  let answer = "";
  for await (const chunk of socket.setEncoding("utf8")) answer += chunk;
  return answer;
}
