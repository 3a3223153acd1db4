import { Hono } from "hono";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { RobsonError } from "../../core/errors.ts";
import { silentLogger } from "../../core/logger.ts";
import type { InboundMessage } from "../../core/message-event.ts";
import { type WebhookOptions, webhook } from "./index.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY = '{"content": "größe 👩‍👩‍👧"}';

/** The route of a running gateway, and what it accepted. */
function serve(options: WebhookOptions = { inboundSecret: SECRET }) {
  const accepted: InboundMessage[] = [];
  const gateway = webhook(options);
  void gateway.start({
    accept: async (message) => ({ conversationId: accepted.push(message), isDuplicate: false }),
    signal: new AbortController().signal,
    log: silentLogger,
  });
  const app = new Hono().route("/", gateway.routes);
  app.onError((error, c) => c.json({ code: error instanceof RobsonError ? error.code : String(error) }, 400));
  const post = async (body: string, headers: Record<string, string>) => {
    const answer = await app.request("/message", {
      ...{ method: "POST", body },
      headers: { "content-type": "application/json", ...headers },
    });
    return { status: answer.status, body: (await answer.json()) as { code?: string } };
  };
  return { gateway, accepted, post };
}

/** The headers of a sender who signs `body` now, or `ageSeconds` ago. */
function signed(body: string, { id = "msg_1", secret = SECRET, ageSeconds = 0 } = {}) {
  const at = new Date(Date.now() - ageSeconds * 1000);
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": new Webhook(secret).sign(id, at, body),
  };
}

test("a signed message is accepted, and its webhook-id makes a copy a duplicate", async () => {
  const { post, accepted } = serve();

  expect((await post(BODY, signed(BODY))).status).toBe(202);
  expect((await post(BODY, signed(BODY, { ageSeconds: 290 }))).status).toBe(202);

  expect(accepted[0]).toEqual({ content: "größe 👩‍👩‍👧", channelId: "webhook", idempotencyKey: "msg_1" });
  expect(accepted[1]?.idempotencyKey).toBe("msg_1");
});

test("of several signatures one must be right, as while a secret is being replaced", async () => {
  const { post } = serve();
  const headers = signed(BODY);
  const old = signed(BODY, { secret: "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=" })["webhook-signature"];

  const both = { ...headers, "webhook-signature": `${old} v2,abc ${headers["webhook-signature"]}` };

  expect((await post(BODY, both)).status).toBe(202);
});

test("an id that the sender gives goes before the webhook-id", async () => {
  const { post, accepted } = serve();
  const body = '{"content": "x", "external_id": "e1"}';

  await post(body, signed(body));
  await post(BODY, { ...signed(BODY), "idempotency-key": "k1" });

  expect(accepted.map(({ idempotencyKey }) => idempotencyKey)).toEqual(["e1", "k1"]);
});

test.each([
  ["another body", '{"content": "other"}', signed(BODY)],
  ["white space added to the body", `${BODY} `, signed(BODY)],
  ["a byte order mark before the body", `\uFEFF${BODY}`, signed(BODY)],
  ["another secret", BODY, signed(BODY, { secret: "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=" })],
  ["another id", BODY, { ...signed(BODY), "webhook-id": "msg_2" }],
  ["another time", BODY, { ...signed(BODY), "webhook-timestamp": String(Math.floor(Date.now() / 1000) - 7) }],
  ["a time before the replay window", BODY, signed(BODY, { ageSeconds: 310 })],
  ["a time after the replay window", BODY, signed(BODY, { ageSeconds: -310 })],
  ["no id", BODY, { ...signed(BODY), "webhook-id": "" }],
  ["no time", BODY, { ...signed(BODY), "webhook-timestamp": "" }],
  ["a time that is no number", BODY, { ...signed(BODY), "webhook-timestamp": "soon" }],
  ["an empty signature", BODY, { ...signed(BODY), "webhook-signature": "" }],
  ["a signature of another version", BODY, { ...signed(BODY), "webhook-signature": "v0,abc" }],
  ["half a signature", BODY, { ...signed(BODY), "webhook-signature": "v1" }],
])("a message with %s is refused, and nothing is stored", async (_name, body, headers) => {
  const { post, accepted } = serve();

  expect(await post(body, headers)).toEqual({ status: 400, body: { code: "UNAUTHORIZED" } });
  expect(accepted).toEqual([]);
});

test("a message without a signature is left to the server's access", async () => {
  const { post, gateway } = serve();

  expect((await post(BODY, {})).status).toBe(202);
  expect(gateway.signedPaths).toEqual(["/message"]);
});

test("without an inbound secret signatures are not looked at, and let nobody past the token", async () => {
  const { post, gateway, accepted } = serve({});

  await post(BODY, { ...signed(BODY), "webhook-signature": "v1,wrong" });

  expect(gateway.signedPaths).toEqual([]);
  expect(accepted).toEqual([{ content: "größe 👩‍👩‍👧", channelId: "webhook" }]);
});

test("a malformed inbound secret is a set-up mistake that does not show the secret", () => {
  for (const inboundSecret of ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]) {
    expect(() => webhook({ inboundSecret })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.not.stringContaining("MfKQ") }),
    );
  }
});

test("the header Idempotency-Key is the external_id where that is absent, and may not differ from it", async () => {
  const { post, accepted } = serve({});
  const withId = (id: string) => JSON.stringify({ content: "x", external_id: id });

  await post(BODY, { "idempotency-key": "k1" });
  await post(withId("k1"), { "idempotency-key": "k1" });
  await post(withId("k1"), { "idempotency-key": "" });
  const refused = await post(withId("k2"), { "idempotency-key": "k1" });

  expect(accepted.map(({ idempotencyKey }) => idempotencyKey)).toEqual(["k1", "k1", "k1"]);
  expect(refused).toEqual({ status: 400, body: { code: "MESSAGE_INVALID" } });
});
