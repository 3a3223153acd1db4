import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { ShownEvent } from "../../gateways/tui/conversation.ts";
import type { TestEnd } from "../../testing/temporary-folder.ts";
import { openAttachedLink } from "./attached-link.ts";
import { robsonClient } from "./robson-client.ts";

interface Posted {
  content: string;
  external_id: string;
}

/** An agent's server as far as a terminal sees it, whose answers the test decides. */
class AgentServer {
  url = "";
  port = 0;
  hasStream = true;
  token: string | undefined;
  /** How many posts fail, after they were stored, before one is answered. */
  lostAnswers = 0;
  readonly posted: Posted[] = [];
  readonly streams: { response: ServerResponse; query: URLSearchParams; lastEventId: string | undefined }[] =
    [];
  readonly records = new Map<number, { events: object[]; processed: boolean }>();
  #streamOpened = Promise.withResolvers<void>();

  static async start(t: TestEnd): Promise<AgentServer> {
    const agent = new AgentServer();
    const server = createServer((request, response) => void agent.#answer(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    agent.port = (server.address() as AddressInfo).port;
    t.onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return agent;
  }

  /** Resolves when a terminal has opened one stream more. */
  async streamOpened(): Promise<void> {
    await this.#streamOpened.promise;
    this.#streamOpened = Promise.withResolvers<void>();
  }

  emit(id: number, event: { conversation: number; kind: string; content: string }): void {
    const { conversation, kind, content } = event;
    const data = {
      event_id: id,
      conversation_id: conversation,
      kind,
      content,
      created_at: "…",
      gateway: "webhook",
    };
    const text = `id: c${id}\nevent: process-event\ndata: ${JSON.stringify(data)}\n\n: beat\n\n`;
    this.streams.at(-1)?.response.write(text);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://agent");
    const json = (status: number, body: object) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      return json(401, {
        code: "UNAUTHORIZED",
        message: "Cannot accept the request",
        hint: "Send the token",
      });
    }
    if (url.pathname === "/message") {
      const message = JSON.parse(Buffer.concat(await request.toArray()).toString()) as Posted;
      const known = this.posted.findIndex(({ external_id }) => external_id === message.external_id);
      if (known === -1) this.posted.push(message);
      if (this.lostAnswers > 0) {
        this.lostAnswers -= 1;
        return void response.destroy();
      }
      return json(202, { conversation_id: known === -1 ? this.posted.length : known + 1 });
    }
    const record = this.records.get(Number(/^\/conversations\/(\d+)\/events$/.exec(url.pathname)?.[1]));
    if (record) return json(200, record);
    if (url.pathname !== "/events" || !this.hasStream)
      return json(404, { code: "NOT_FOUND", message: "Cannot find it" });
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": here\n\n");
    const lastEventId = request.headers["last-event-id"] as string | undefined;
    this.streams.push({ response, query: url.searchParams, lastEventId });
    this.#streamOpened.resolve();
  }
}

/** A link to the agent, and what it showed. */
async function attach(t: TestEnd, { port }: { port: number }, token?: string) {
  const shown: ShownEvent[] = [];
  const statuses: (string | undefined)[] = [];
  const waiting = new Set<() => void>();
  const link = await openAttachedLink({
    client: robsonClient({
      server: { host: "127.0.0.1", port },
      secrets: { token, webhookSecret: undefined },
    } as unknown as Parameters<typeof robsonClient>[0]),
    owner: "process 1",
    threadTs: "T1",
    userId: "ada",
    random: () => 0,
    onEvent: async (event) => {
      shown.push(event);
      for (const look of waiting) look();
    },
    onStatus: (status) => void statuses.push(status),
  });
  t.onTestFinished(() => link.stop());
  const shows = (count: number) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (shown.length >= count) resolve();
      };
      waiting.add(look);
      look();
    });
  return { link, shown, statuses, shows };
}

test("lines are posted in this session's thread, and events come by the stream", async (t) => {
  const agent = await AgentServer.start(t);
  const { link, shown, shows } = await attach(t, agent);
  expect(await link.say({ content: "/echo hi", idempotencyKey: "s:1" })).toBe(1);
  agent.emit(1, { conversation: 1, kind: "progress", content: "half" });
  agent.emit(2, { conversation: 1, kind: "completed", content: "hi" });
  await shows(2);

  expect(agent.posted).toEqual([
    { content: "/echo hi", channel_id: "tui", thread_ts: "T1", user_id: "ada", external_id: "s:1" },
  ]);
  expect(Object.fromEntries(agent.streams[0]?.query ?? [])).toEqual({ channel: "tui", thread: "T1" });
  expect(shown).toEqual([
    { eventId: 1, conversationId: 1, kind: "progress", content: "half" },
    { eventId: 2, conversationId: 1, kind: "completed", content: "hi" },
  ]);
});

test("a stream that breaks is opened again where it was", async (t) => {
  const agent = await AgentServer.start(t);
  const { statuses, shows } = await attach(t, agent);
  await agent.streamOpened();
  agent.emit(1, { conversation: 1, kind: "started", content: "a" });
  await shows(1);

  agent.streams[0]?.response.destroy();
  await agent.streamOpened();
  agent.emit(2, { conversation: 1, kind: "completed", content: "b" });
  await shows(2);

  expect(agent.streams[1]?.lastEventId).toBe("c1");
  expect(statuses.at(-1)).toBeUndefined();
  expect(statuses.some((status) => status?.startsWith("No connection"))).toBe(true);
});

test("what came while there was no stream is read when it is back", async (t) => {
  const agent = await AgentServer.start(t);
  const { link, shown, shows } = await attach(t, agent);
  await link.say({ content: "/echo hi", idempotencyKey: "s:1" });
  await agent.streamOpened();
  agent.records.set(1, { events: [{ event_id: 1, kind: "completed", content: "hi" }], processed: true });

  agent.streams[0]?.response.destroy();
  await shows(1);

  expect(shown).toEqual([{ eventId: 1, conversationId: 1, kind: "completed", content: "hi" }]);
});

test("a line whose answer is lost is posted again, and is one message", async (t) => {
  const agent = await AgentServer.start(t);
  const { link } = await attach(t, agent);
  agent.lostAnswers = 1;
  expect(await link.say({ content: "/echo hi", idempotencyKey: "s:1" })).toBe(1);
  expect(agent.posted).toHaveLength(1);
});

test("a server without a stream is asked for the events of each open message", async (t) => {
  const agent = await AgentServer.start(t);
  agent.hasStream = false;
  const { link, shown, shows } = await attach(t, agent);
  agent.records.set(1, { events: [{ event_id: 4, kind: "completed", content: "hi" }], processed: true });
  await link.say({ content: "/echo hi", idempotencyKey: "s:1" });
  await shows(1);
  expect(shown).toEqual([{ eventId: 4, conversationId: 1, kind: "completed", content: "hi" }]);
});

test("a message that ended without a word is known to have ended", async (t) => {
  const agent = await AgentServer.start(t);
  const { link } = await attach(t, agent);
  agent.records.set(1, { events: [], processed: true });
  agent.records.set(2, { events: [], processed: false });
  agent.records.set(3, { events: [{ event_id: 9, kind: "failed", content: "no" }], processed: true });
  expect(await Promise.all([1, 2, 3].map((id) => link.hasEndedSilently(id)))).toEqual([true, false, false]);
});

test("where no agent listens, it is refused with what to do", async (t) => {
  await expect(attach(t, { port: 1 })).rejects.toMatchObject({
    code: "ALREADY_RUNNING",
    message: expect.stringContaining("no server of it answers at http://127.0.0.1:1"),
    hint: expect.stringContaining("server.port"),
  });
});

test("without the agent's token it is refused as such", async (t) => {
  const agent = await AgentServer.start(t);
  agent.token = "right";
  await expect(attach(t, agent, "wrong")).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  const { link } = await attach(t, agent, "right");
  expect(link.greeting).toContain("attached to process 1");
});
