import { expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { loadConfig } from "../config/load-config.ts";
import { silentLogger } from "../core/logger.ts";
import { openStore } from "../store/open-store.ts";
import { openEventSource } from "../testing/event-source.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { startAgent } from "./start-agent.ts";
import { configuredWebhook, startHttp } from "./start-http.ts";

interface Answer {
  $ref?: string;
  content?: Record<string, { schema?: { $ref?: string } }>;
}

interface Description {
  openapi: string;
  paths: Record<string, Record<string, { responses: Record<string, Answer> }>>;
  components: { schemas: Record<string, z.core.JSONSchema.JSONSchema>; responses: Record<string, Answer> };
}

const TOKEN = "s3cret";
const ENVIRONMENT = {
  ROBSON_TOKEN: TOKEN,
  ROBSON_WEBHOOK_INBOUND_SECRET: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
};

/** A configuration with a token and an inbound secret, and an empty database. */
async function setUp() {
  const cwd = await temporaryFolder({ onTestFinished });
  const config = loadConfig({ cwd, env: ENVIRONMENT });
  config.server.port = 0;
  const store = await openStore(`${cwd}/robson.db`);
  onTestFinished(() => store.close());
  return { config, store, log: silentLogger };
}

test("the description has every route of the server, and no other", async () => {
  const options = await setUp();
  const gateway = configuredWebhook(options.config, options.store);
  const http = { health: () => ({ isReady: true }), isControl: () => false };
  const server = await startHttp({ ...options, gateway, ...http });
  onTestFinished(() => server.close());

  // Without the token: it says nothing that is not public.
  const description = (await (await fetch(`${server.url}/openapi.json`)).json()) as Description;

  const described = Object.entries(description.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ":$1")}`),
  );
  expect(description.openapi).toBe("3.1.0");
  expect(described.sort()).toEqual(server.routes.sort());
  for (const reference of JSON.stringify(description).matchAll(/"#\/components\/(\w+)\/(\w+)"/g)) {
    const [, section = "", name = ""] = reference;
    expect(description.components).toHaveProperty([section, name]);
  }
});

test("what the server answers is what the description says", async () => {
  const options = await setUp();
  const agent = await startAgent(options);
  onTestFinished(() => agent.stop());
  const description = (await (await fetch(`${agent.url}/openapi.json`)).json()) as Description;
  const authorization = `Bearer ${TOKEN}`;
  /** Asks, and holds the answer against the schema of its status. Returns its body. */
  const ask = async (
    operation: string,
    { path = "", body = undefined as unknown, token = authorization } = {},
  ) => {
    const [method = "", template = ""] = operation.split(" ");
    const answer = await fetch(agent.url + (path || template), {
      method,
      headers: {
        authorization: token,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    const schema = schemaOf(description, { method, template, status: answer.status });
    const parsed: unknown = text === "" ? undefined : JSON.parse(text);
    if (schema) z.fromJSONSchema(schema).parse(parsed);
    else expect(text).toBe("");
    return { status: answer.status, body: parsed as Record<string, unknown> };
  };

  const statuses = [
    await ask("GET /healthz"),
    await ask("GET /readyz"),
    await ask("POST /message", { body: { content: "/help", external_id: "e1", channel_id: null } }),
    await ask("POST /message", { body: { content: 7 } }),
    await ask("POST /message", { body: { content: "/help" }, token: "Bearer wrong" }),
    await ask("GET /events", { path: "/events?since=beginning" }),
    await ask("GET /conversations/{id}/events", { path: "/conversations/77/events" }),
    await ask("POST /subscribers", { body: { callback_url: "https://hooks.example/", description: "d" } }),
    await ask("POST /subscribers", { body: { callback_url: "https://hooks.example/" } }),
    await ask("POST /subscribers", { body: { callback_url: "http://127.0.0.1/" } }),
    await ask("GET /subscribers"),
    await ask("DELETE /subscribers/{id}", { path: "/subscribers/1" }),
    await ask("DELETE /subscribers/{id}", { path: "/subscribers/1" }),
    await ask("GET /runs"),
    await ask("GET /runs/{id}", { path: "/runs/77" }),
    await ask("POST /runs/{id}/stop", { path: "/runs/77/stop" }),
  ].map(({ status }) => status);

  expect(statuses).toEqual([200, 200, 202, 400, 401, 400, 404, 201, 200, 400, 200, 204, 404, 200, 404, 404]);
  const stream = await openEventSource(
    { onTestFinished },
    `${agent.url}/events?conversation=1&since=beginning`,
    { authorization },
  );
  const [event] = await stream.next(1);
  const { ProcessEvent = {} } = description.components.schemas;
  expect(z.fromJSONSchema(ProcessEvent).parse(event?.data)).toMatchObject({ kind: "completed" });
  const read = await ask("GET /conversations/{id}/events", { path: "/conversations/1/events" });
  expect(read).toMatchObject({ status: 200, body: { processed: true } });
});

/** The schema of an answer; undefined where there is no body. */
function schemaOf(
  { paths, components }: Description,
  { method, template, status }: { method: string; template: string; status: number },
): z.core.JSONSchema.JSONSchema | undefined {
  const responses = paths[template]?.[method.toLowerCase()]?.responses;
  let answer = responses?.[status] ?? responses?.default;
  if (!answer) throw new Error(`${method} ${template} describes no answer ${status}`);
  if (answer.$ref) answer = components.responses[answer.$ref.split("/").at(-1) ?? ""];
  const reference = answer?.content?.["application/json"]?.schema?.$ref;
  return reference === undefined ? undefined : components.schemas[reference.split("/").at(-1) ?? ""];
}
