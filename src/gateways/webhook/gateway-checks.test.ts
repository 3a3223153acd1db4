/** The webhook gateway against the checks that every gateway must pass. */
import { test } from "vitest";
import { type TestPlatform, testGateway } from "../../testing/test-gateway.ts";
import { type WebhookGateway, webhook } from "./index.ts";
import { type Answer, startReceiver, withStatus } from "./test-receiver.ts";

/** A system that posts messages with its own URL as their channel, and gets the answers there. */
interface Poster extends TestPlatform {
  gateway?: WebhookGateway;
  /** What it answers to deliveries from now on. */
  answer: Answer;
}

async function createPoster(): Promise<Poster> {
  const silence: Answer = () => undefined;
  const receiver = await startReceiver((...request) => poster.answer(...request));
  const poster: Poster = {
    answer: withStatus(204),
    target: receiver.url,
    async write({ id, content }) {
      const body = JSON.stringify({ content, external_id: id, channel_id: receiver.url });
      const answered = await poster.gateway?.routes.request("/message", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      if (answered?.status !== 202) throw new Error(`It answered ${answered?.status}`);
    },
    arrived: async () =>
      receiver.received.map(({ headers, body }) => ({
        content: JSON.parse(body).content,
        deliveryId: String(headers["webhook-id"]),
      })),
    async stall() {
      poster.answer = silence;
      await receiver.nextRequest();
    },
    close: () => receiver.close(),
  };
  return poster;
}

testGateway<Poster>(test, {
  createPlatform: createPoster,
  createGateway(poster) {
    poster.gateway = webhook({ allowCallbackHosts: ["127.0.0.1"] });
    poster.gateway.routes.onError((_error, context) => context.text("refused", 503));
    return poster.gateway;
  },
  troubles: [
    status(500, { retry: "later" }),
    status(503, { retry: "later" }),
    status(408, { retry: "later" }),
    status(429, { retry: "later", retryAfterMs: 7000, headers: { "retry-after": "7" } }),
    status(400, { retry: "never" }),
    status(404, { retry: "never" }),
    status(410, { retry: "never" }),
    status(302, { retry: "never", headers: { location: "/elsewhere" } }),
    {
      name: "a receiver that closes the connection",
      retry: "later",
      cause(poster) {
        poster.answer = (response) => response.destroy();
      },
    },
    { name: "an address that is private", retry: "never", delivery: { target: "http://127.0.0.2/" } },
    { name: "an address that is no URL", retry: "never", delivery: { target: "general" } },
  ],
});

function status(
  code: number,
  meaning: { retry: "later" | "never"; retryAfterMs?: number; headers?: Record<string, string> },
) {
  const { headers = {}, ...expected } = meaning;
  return {
    name: `a ${code}`,
    ...expected,
    cause(poster: Poster) {
      poster.answer = withStatus(code, headers);
    },
  };
}
