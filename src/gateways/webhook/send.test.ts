import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { silentLogger } from "../../core/logger.ts";
import type { ReceivedMessage } from "../../core/message-event.ts";
import { type WebhookOptions, webhook } from "./index.ts";
import { aDelivery, failureOf, heldClock, startReceiver, withStatus } from "./test-receiver.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const signal = new AbortController().signal;

function gatewayFor(options: WebhookOptions = {}) {
  return webhook({ allowCallbackHosts: ["127.0.0.1"], ...options });
}

test("a delivery is one POST with everything its receiver needs", async () => {
  const receiver = await startReceiver();

  await gatewayFor().send(aDelivery({ target: receiver.url, threadTs: "t1", attempt: 2 }), { signal });

  expect(receiver.received).toHaveLength(1);
  const [request] = receiver.received;
  expect(request).toMatchObject({ method: "POST", path: "/hook" });
  expect(request?.headers["content-type"]).toBe("application/json");
  expect(JSON.parse(request?.body ?? "")).toEqual({
    content: "done",
    kind: "completed",
    delivery_id: "0b2f6a52-6b39-4a60-9d8a-2f7f6a0a3c11",
    event_id: 21,
    conversation_id: 7,
    channel_id: receiver.url,
    thread_ts: "t1",
    attempt: 2,
  });
});

test("thread_ts is null where there is no thread", async () => {
  const receiver = await startReceiver();

  await gatewayFor().send(aDelivery({ target: receiver.url }), { signal });

  expect(JSON.parse(receiver.received[0]?.body ?? "")).toHaveProperty("thread_ts", null);
});

test("the standard library verifies the signature, emoji and half characters included", async () => {
  const receiver = await startReceiver();
  const gateway = gatewayFor({ signingSecret: SECRET });

  await gateway.send(aDelivery({ target: receiver.url, content: "👩‍👩‍👧 \ud83d done \u0000 ü" }), { signal });

  const body = receiver.received[0]?.body ?? "";
  const headers = receiver.received[0]?.headers ?? {};
  const verified = new Webhook(SECRET).verify(body, headers as Record<string, string>);
  expect(verified).toHaveProperty("content", "👩‍👩‍👧 \ud83d done \u0000 ü");
  expect(headers["webhook-id"]).toBe("0b2f6a52-6b39-4a60-9d8a-2f7f6a0a3c11");
  expect(() => new Webhook(SECRET).verify(`${body} `, headers as Record<string, string>)).toThrow();
});

test("the webhook-id is the same at each attempt", async () => {
  const receiver = await startReceiver(withStatus(500), withStatus(200));
  const gateway = gatewayFor({ signingSecret: SECRET });

  await failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));
  await gateway.send(aDelivery({ target: receiver.url, attempt: 2 }), { signal });

  const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
  expect(ids).toEqual(["0b2f6a52-6b39-4a60-9d8a-2f7f6a0a3c11", "0b2f6a52-6b39-4a60-9d8a-2f7f6a0a3c11"]);
});

test("without a secret a delivery has an id and a time but no signature, and the start warns", async () => {
  const receiver = await startReceiver();
  const gateway = gatewayFor();
  const said: string[] = [];
  const stop = new AbortController();

  const started = gateway.start({
    accept: () => Promise.reject(new Error("unexpected")),
    signal: stop.signal,
    log: { ...silentLogger, info: (_fields, text) => said.push(text) },
  });
  await gateway.send(aDelivery({ target: receiver.url }), { signal });
  stop.abort();
  await started;

  const headers = receiver.received[0]?.headers ?? {};
  expect(headers["webhook-id"]).toBeDefined();
  expect(Math.abs(Number(headers["webhook-timestamp"]) - Date.now() / 1000)).toBeLessThan(60);
  expect(headers["webhook-signature"]).toBeUndefined();
  expect(said).toEqual([expect.stringContaining("no signing secret")]);
});

test.each([200, 201, 204, 299])("an answer %i is delivered", async (status) => {
  const receiver = await startReceiver(withStatus(status));

  await gatewayFor().send(aDelivery({ target: receiver.url }), { signal });

  expect(receiver.received).toHaveLength(1);
});

test.each([408, 429, 500, 502, 503, 504])("an answer %i is tried again later", async (status) => {
  const receiver = await startReceiver(withStatus(status));

  const failure = await failureOf(gatewayFor().send(aDelivery({ target: receiver.url }), { signal }));

  expect(failure).toMatchObject({ retry: "later", retryAfterMs: undefined, code: "DELIVERY_FAILED" });
  expect(failure.message).toContain(String(status));
  expect(failure.message).not.toContain("/hook");
});

test.each([300, 304, 400, 401, 403, 404, 409, 410, 418, 422])("an answer %i is permanent", async (status) => {
  const receiver = await startReceiver(withStatus(status));

  const failure = await failureOf(gatewayFor().send(aDelivery({ target: receiver.url }), { signal }));

  expect(failure).toMatchObject({ retry: "never", code: "DELIVERY_FAILED" });
});

test("Retry-After in seconds and as a date is passed on, and nonsense is not", async () => {
  const inTwoMinutes = new Date(Date.now() + 120_000).toUTCString();
  const receiver = await startReceiver(
    withStatus(429, { "retry-after": "17" }),
    withStatus(503, { "retry-after": inTwoMinutes }),
    withStatus(503, { "retry-after": "-5" }),
    withStatus(503, { "retry-after": "soon" }),
  );
  const gateway = gatewayFor();
  const failNext = () => failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));

  expect((await failNext()).retryAfterMs).toBe(17_000);
  expect((await failNext()).retryAfterMs).toSatisfy((ms: number) => ms > 100_000 && ms <= 120_000);
  expect((await failNext()).retryAfterMs).toBeUndefined();
  expect((await failNext()).retryAfterMs).toBeUndefined();
});

test("a receiver that never answers is given up at sendTimeoutMs and tried again", async () => {
  const clock = heldClock();
  const receiver = await startReceiver(() => undefined);
  const gateway = gatewayFor({ clock, sendTimeoutMs: 5000 });

  const arrived = receiver.nextRequest();
  const failing = failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));
  await arrived;
  clock.fireAll();

  const failure = await failing;
  expect(failure).toMatchObject({ retry: "later", code: "DELIVERY_TIMED_OUT" });
  expect(failure.message).toContain("sendTimeoutMs (5000 ms)");
});

test("a name that never resolves is given up at sendTimeoutMs too", async () => {
  const clock = heldClock();
  const asked = Promise.withResolvers<void>();
  const lookup = () => {
    asked.resolve();
    return new Promise<never>(() => undefined);
  };
  const gateway = gatewayFor({ clock, lookup, sendTimeoutMs: 200 });

  const failing = failureOf(gateway.send(aDelivery({ target: "http://hooks.example/" }), { signal }));
  await asked.promise;
  clock.fireAll();

  expect(await failing).toMatchObject({ retry: "later", code: "DELIVERY_TIMED_OUT" });
});

test("a send gives up when its signal is aborted", async () => {
  const receiver = await startReceiver(() => undefined);
  const controller = new AbortController();

  const arrived = receiver.nextRequest();
  const failing = failureOf(
    gatewayFor().send(aDelivery({ target: receiver.url }), { signal: controller.signal }),
  );
  await arrived;
  controller.abort();

  expect(await failing).toMatchObject({ retry: "later" });
});

test("a receiver that is not there, or hangs up, is tried again", async () => {
  const receiver = await startReceiver((response) => response.destroy());
  const gateway = gatewayFor();

  const hungUp = await failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));
  const absent = await failureOf(gateway.send(aDelivery({ target: "http://127.0.0.1:1/" }), { signal }));

  expect(hungUp.retry).toBe("later");
  expect(absent).toMatchObject({ retry: "later", message: expect.stringContaining("ECONNREFUSED") });
});

test("a name that does not resolve is tried again", async () => {
  const lookup = () =>
    Promise.reject(Object.assign(new Error("getaddrinfo ENOTFOUND"), { code: "ENOTFOUND" }));

  const failure = await failureOf(
    gatewayFor({ lookup }).send(aDelivery({ target: "http://hooks.example/" }), { signal }),
  );

  expect(failure).toMatchObject({ retry: "later", message: expect.stringContaining("ENOTFOUND") });
});

test("an answer without end counts by its status and its connection is closed", async () => {
  const closed = Promise.withResolvers<void>();
  const receiver = await startReceiver((response) => {
    response.writeHead(200);
    const write = () => void (response.destroyed || response.write("x".repeat(16_384), write));
    write();
    response.on("close", closed.resolve);
  });

  await gatewayFor().send(aDelivery({ target: receiver.url }), { signal });

  await closed.promise;
});

test("an answer whose body stalls counts by its status and its connection is closed in time", async () => {
  const clock = heldClock();
  const isClosed = Promise.withResolvers<void>();
  const receiver = await startReceiver((response) => {
    response.writeHead(200);
    response.write("x");
    response.on("close", isClosed.resolve);
  });

  const bodyDeadline = clock.scheduled(2);
  const sending = gatewayFor({ clock }).send(aDelivery({ target: receiver.url }), { signal });
  (await bodyDeadline)();

  await sending;
  await isClosed.promise;
});

test("deliveries share a connection, which is closed once the gateway has stopped and sends are over", async () => {
  const receiver = await startReceiver(
    withStatus(200),
    withStatus(404),
    (response) => void once(response, "x"),
  );
  const gateway = gatewayFor();
  const stop = new AbortController();
  const controller = new AbortController();
  const started = gateway.start({ accept: () => Promise.reject(), signal: stop.signal, log: silentLogger });

  await gateway.send(aDelivery({ target: receiver.url }), { signal });
  // A connection is reused from the next turn of the event loop on; a commit lies between two deliveries anyway.
  await nextTurn();
  await failureOf(gateway.send(aDelivery({ target: receiver.url }), { signal }));
  await nextTurn();
  expect(receiver.connections).toEqual({ made: 1, open: 1 });

  const arrived = receiver.nextRequest();
  const underWay = failureOf(
    gateway.send(aDelivery({ target: receiver.url }), { signal: controller.signal }),
  );
  await arrived;
  stop.abort();
  await started;
  expect(receiver.connections.open).toBe(1);

  controller.abort();
  await underWay;
  await expect.poll(() => receiver.connections.open).toBe(0);
});

test("a delivery is still made while the gateway stops, and leaves no connection behind", async () => {
  const receiver = await startReceiver();
  const gateway = gatewayFor();
  await gateway.start({ accept: () => Promise.reject(), signal: AbortSignal.abort(), log: silentLogger });

  await gateway.send(aDelivery({ target: receiver.url }), { signal });

  expect(receiver.received).toHaveLength(1);
  await expect.poll(() => receiver.connections.open).toBe(0);
});

test("events go to the channel when it is an http(s) URL, and nowhere otherwise", () => {
  const gateway = gatewayFor();
  const targets = (channelId: string) => gateway.targets?.({ channelId } as ReceivedMessage);

  expect(targets("https://hooks.example/a?b=c")).toEqual(["https://hooks.example/a?b=c"]);
  expect(targets("HTTP://hooks.example")).toEqual(["HTTP://hooks.example"]);
  expect(targets("webhook")).toEqual([]);
  expect(targets("ftp://hooks.example")).toEqual([]);
  expect(targets("")).toEqual([]);
});

test("a malformed secret is a set-up mistake that does not show the secret", () => {
  for (const signingSecret of ["", "whsec_", "whsec_!!not base64!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]) {
    expect(() => webhook({ signingSecret })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.not.stringContaining("MfKQ") }),
    );
  }
});
