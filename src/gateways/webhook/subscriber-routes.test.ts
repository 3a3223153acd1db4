import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { RobsonError } from "../../core/errors.ts";
import { openStore } from "../../store/open-store.ts";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { type WebhookOptions, webhook } from "./index.ts";

/** The routes over a real store; thrown codes are shown as JSON. */
async function serve(options: WebhookOptions = {}) {
  const store = await openStore(`${await temporaryFolder({ onTestFinished })}/robson.db`);
  onTestFinished(() => store.close());
  const app = new Hono().route("/", webhook({ subscribers: store.subscribers, ...options }).routes);
  app.onError((error, c) => {
    if (error instanceof RobsonError) return c.json({ code: error.code, message: error.message }, 400);
    throw error;
  });
  const request = async (method: string, path: string, body?: unknown) => {
    const answer = await app.request(path, {
      method,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) };
  };
  return { request, subscribe: (body: unknown) => request("POST", "/subscribers", body) };
}

test("a subscriber is added, listed and deleted", async () => {
  const { request, subscribe } = await serve();

  const added = await subscribe({ callback_url: "https://hooks.example/a", description: "the dashboard" });
  const again = await subscribe({ callback_url: "https://hooks.example/a" });
  const listed = await request("GET", "/subscribers");
  const deleted = await request("DELETE", `/subscribers/${added.body.id}`);

  expect(added).toEqual({
    status: 201,
    body: {
      id: expect.any(Number),
      callback_url: "https://hooks.example/a",
      description: "the dashboard",
      created_at: expect.stringMatching(/Z$/),
    },
  });
  expect(again).toEqual({ status: 200, body: added.body });
  expect(listed.body).toEqual({ subscribers: [added.body] });
  expect(deleted).toEqual({ status: 204, body: undefined });
  expect((await request("GET", "/subscribers")).body).toEqual({ subscribers: [] });
  expect((await request("DELETE", `/subscribers/${added.body.id}`)).body.code).toBe("NOT_FOUND");
});

test("one receiver does not subscribe twice by another spelling", async () => {
  const { subscribe } = await serve();

  const first = await subscribe({ callback_url: "https://hooks.example/" });

  for (const callback_url of [
    "HTTPS://Hooks.Example",
    " https://hooks.example:443/ ",
    "https://hooks.example/#top",
  ]) {
    expect(await subscribe({ callback_url })).toEqual({ status: 200, body: first.body });
  }
});

test.each([
  "http://127.0.0.1/",
  "http://2130706433/",
  "http://0x7f.1/",
  "http://017700000001/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:a00:1]/",
  "http://169.254.169.254/latest/meta-data",
  "http://localhost/",
  "https://ada:secret@hooks.example/",
])("the callback URL %s is refused", async (callback_url) => {
  const { request, subscribe } = await serve();

  expect((await subscribe({ callback_url })).body).toMatchObject({ code: "CALLBACK_REFUSED" });
  expect((await request("GET", "/subscribers")).body).toEqual({ subscribers: [] });
});

test("an allowed private host may subscribe", async () => {
  const { subscribe } = await serve({ allowCallbackHosts: ["127.0.0.1:9000"] });

  expect((await subscribe({ callback_url: "http://2130706433:9000/" })).status).toBe(201);
  expect((await subscribe({ callback_url: "http://127.0.0.1:9001/" })).body.code).toBe("CALLBACK_REFUSED");
});

test.each([
  [{}, '"callback_url" is missing'],
  [{ callback_url: "webhook" }, "not an http or https URL"],
  [{ callback_url: "ftp://hooks.example/" }, "not an http or https URL"],
  [{ callback_url: `https://hooks.example/${"x".repeat(2000)}` }, "longer than 2000"],
  [{ callback_url: "https://hooks.example/", description: "x".repeat(1001) }, "longer than 1000"],
  [{ callback_url: "https://hooks.example/", url: "x" }, 'unknown field "url"'],
])("the body %j is refused with a reason", async (body, reason) => {
  const { subscribe } = await serve();

  const answer = await subscribe(body);

  expect(answer.body).toMatchObject({ code: "MESSAGE_INVALID", message: expect.stringContaining(reason) });
});

test("beyond maxSubscribers nobody is added", async () => {
  const { subscribe } = await serve({ maxSubscribers: 1 });
  await subscribe({ callback_url: "https://a.example/" });

  const answer = await subscribe({ callback_url: "https://b.example/" });

  expect(answer.body.message).toContain("maxSubscribers (1)");
});

test.each(["0", "-1", "01", "1e1", "x", "9999999999999999999"])(
  "/subscribers/%s is not found",
  async (id) => {
    const { request } = await serve();

    expect((await request("DELETE", `/subscribers/${id}`)).body.code).toBe("NOT_FOUND");
  },
);
