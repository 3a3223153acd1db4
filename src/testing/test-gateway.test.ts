/** That the checks of a gateway find what they are for: each broken gateway here breaks one promise. */
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { DeliveryError } from "../core/errors.ts";
import type { Gateway, GatewayContext } from "../core/gateway.ts";
import type { Delivery } from "../core/message-event.ts";
import { gatewayChecks, type TestPlatform } from "./test-gateway.ts";

/** A platform in memory, and what a gateway over it uses. */
class Room implements TestPlatform {
  readonly target = "room";
  readonly inbox: { id: string; content: string; acknowledge(): void; refuse(error: unknown): void }[] = [];
  readonly #arrived: { content: string; deliveryId: string }[] = [];
  readonly #stalled = Promise.withResolvers<void>();
  #isStalling = false;
  isFull = false;
  onWrite: () => void = () => undefined;

  write(message: { id: string; content: string }): Promise<void> {
    const { promise, resolve: acknowledge, reject: refuse } = Promise.withResolvers<void>();
    this.inbox.push({ ...message, acknowledge, refuse });
    this.onWrite();
    return promise;
  }

  async take({ id, content }: Delivery, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.isFull) throw new Error("full");
    if (this.#isStalling) {
      this.#stalled.resolve();
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    this.#arrived.push({ content, deliveryId: id });
  }

  has(id: string): boolean {
    return this.#arrived.some(({ deliveryId }) => deliveryId === id);
  }

  arrived = async () => this.#arrived;
  stall(): Promise<void> {
    this.#isStalling = true;
    return this.#stalled.promise;
  }
  close = async () => undefined;
}

/** A gateway that keeps every promise. */
function roomGateway(room: Room): Gateway {
  const acceptAll = async ({ accept }: GatewayContext) => {
    for (const { id, content, acknowledge, refuse } of room.inbox.splice(0)) {
      await accept({ content, channelId: "room", idempotencyKey: id }).then(acknowledge, refuse);
    }
  };
  return {
    name: "room",
    async start(context) {
      room.onWrite = () => void acceptAll(context);
      room.onWrite();
      if (!context.signal.aborted) await new Promise((end) => context.signal.addEventListener("abort", end));
    },
    async send(delivery, { signal }) {
      await room.take(delivery, signal).catch((cause) => {
        throw new DeliveryError("full", { retry: "later", retryAfterMs: 5, cause });
      });
      return undefined;
    },
    find: async ({ id }) => room.has(id),
  };
}

/** `maxWaitMs` is short where a promise is broken by never keeping it. */
async function failuresOf(
  createGateway: (room: Room) => Gateway,
  { maxWaitMs = 2000, only }: { maxWaitMs?: number; only?: string[] } = {},
): Promise<string[]> {
  const checks = gatewayChecks(createGateway, {
    createPlatform: async () => new Room(),
    troubles: [
      {
        name: "a full room",
        retry: "later",
        retryAfterMs: 5,
        cause: (room) => {
          room.isFull = true;
        },
      },
    ],
    maxWaitMs,
  });
  const failures: string[] = [];
  for (const { name, run } of checks) {
    if (only?.includes(name) ?? true) await run().catch(() => failures.push(name));
  }
  return failures;
}

test("a gateway that keeps every promise passes", async () => {
  expect(await failuresOf(roomGateway)).toEqual([]);
});

const BROKEN: [what: string, failures: string[], breakIt: (good: Gateway, room: Room) => Partial<Gateway>][] =
  [
    [
      "has a wrong name",
      [
        "it has a valid name, start and send",
        "a message goes through a loop, and its answer arrives where it was written",
      ],
      () => ({ name: "Room 1" }),
    ],
    [
      "returns from its start at once",
      ["start listens until its signal is aborted, and not less"],
      (good) => ({
        start: async (context) => {
          void good.start(context);
        },
      }),
    ],
    [
      "acknowledges before it accepts",
      [
        "a message is acknowledged only after accept has resolved",
        "a message that could not be stored is not acknowledged, and comes again",
      ],
      (good, room) => ({
        start(context) {
          const accept: GatewayContext["accept"] = async (message) => {
            for (const { acknowledge } of acknowledged.splice(0)) acknowledge();
            return context.accept(message);
          };
          const acknowledged: { acknowledge(): void }[] = [];
          const write = room.write.bind(room);
          room.write = (message) => {
            const { promise, resolve: acknowledge } = Promise.withResolvers<void>();
            acknowledged.push({ acknowledge });
            write(message).catch(() => undefined);
            return promise;
          };
          return good.start({ ...context, accept });
        },
      }),
    ],
    [
      "makes a key of its own for each copy",
      ["a message that comes again has the same idempotency key"],
      (good) => ({
        start: (context) =>
          good.start({
            ...context,
            accept: (message) => context.accept({ ...message, idempotencyKey: crypto.randomUUID() }),
          }),
      }),
    ],
    [
      "ignores the signal of a send",
      [
        "a send whose signal was aborted before fails and delivers nothing",
        "a send that the platform does not answer fails when its signal is aborted",
      ],
      (good) => ({ send: (delivery) => good.send(delivery, { signal: new AbortController().signal }) }),
    ],
    [
      "sends each attempt under another id",
      ["each attempt at a delivery carries the same delivery id"],
      (good) => ({
        send: (delivery, context) =>
          good.send({ ...delivery, id: `${delivery.id}/${delivery.attempt}` }, context),
        find: (delivery, context) =>
          good.find?.({ ...delivery, id: `${delivery.id}/${delivery.attempt}` }, context) ??
          Promise.resolve(false),
      }),
    ],
    [
      "finds everything",
      ["find, where there is one, tells what has arrived and what has not"],
      () => ({ find: async () => true }),
    ],
    [
      "does not say that another attempt can help",
      ["a full room means: try again later"],
      (good) => ({
        send: (delivery, context) =>
          good.send(delivery, context).catch(() => {
            throw new DeliveryError("full", { retry: "never" });
          }),
      }),
    ],
    [
      "hands over a field that there is not",
      [
        "a message goes through a loop, and its answer arrives where it was written",
        "a message is handed over as it was written",
      ],
      (good) => ({
        start: (context) =>
          good.start({
            ...context,
            accept: (message) => context.accept({ ...message, ...{ threadTS: "T1" } }),
          }),
      }),
    ],
    [
      "changes what was written",
      [
        "a message goes through a loop, and its answer arrives where it was written",
        "a message is handed over as it was written",
      ],
      (good) => ({
        start: (context) =>
          good.start({
            ...context,
            accept: (message) => context.accept({ ...message, content: message.content.slice(0, 8) }),
          }),
      }),
    ],
  ];

test.each(BROKEN)("a gateway that %s fails at that", async (_what, failures, breakIt) => {
  const found = await failuresOf((room) => {
    const good = roomGateway(room);
    return { ...good, ...breakIt(good, room) };
  });
  expect(found).toEqual(failures);
});

test("a gateway whose start never ends fails at that", async () => {
  const only = [
    "start resolves when its signal is aborted",
    "start resolves at once when its signal was aborted before",
  ];

  const found = await failuresOf(
    (room) => {
      const good = roomGateway(room);
      return {
        ...good,
        start: (context) => good.start({ ...context, signal: new AbortController().signal }),
      };
    },
    { maxWaitMs: 100, only },
  );

  expect(found).toEqual(only);
});

test("a gateway that leaves a server open fails at that", async (t) => {
  const servers: ReturnType<typeof createServer>[] = [];
  t.onTestFinished(() => {
    for (const server of servers) server.close();
  });
  const only = ["once it has ended it leaves no socket, watcher or process open"];

  const found = await failuresOf(
    (room) => {
      const good = roomGateway(room);
      return {
        ...good,
        start(context) {
          servers.push(createServer().listen(0, "127.0.0.1"));
          return good.start(context);
        },
      };
    },
    { maxWaitMs: 100, only },
  );

  expect(found).toEqual(only);
});

test("a close of the platform that throws is named, and stands in the way of no other failure", async () => {
  const checks = (broken: Partial<Gateway>) =>
    gatewayChecks((room: Room) => ({ ...roomGateway(room), ...broken }), {
      createPlatform: async () =>
        Object.assign(new Room(), { close: () => Promise.reject(new Error("gone")) }),
    });
  const name = "it has a valid name, start and send";
  const run = (broken: Partial<Gateway>) =>
    checks(broken)
      .find((check) => check.name === name)
      ?.run();

  await expect(run({})).rejects.toThrow("The close() of the platform has thrown: gone; it has to end");
  await expect(run({ name: "Room 1" })).rejects.toThrow('Cannot define a gateway named "Room 1"');
});

test.for<[string, Partial<Gateway>, string, string]>([
  [
    "why nobody listens",
    { start: () => Promise.reject(new Error("the token is empty")) },
    "a message is acknowledged only after accept has resolved",
    "; its start() has thrown: the token is empty",
  ],
  [
    "that find answers with a list",
    { find: async () => [] as never },
    "find, where there is one, tells what has arrived and what has not",
    "find answered an array about a delivery that has arrived, not true",
  ],
  [
    "that find says yes to everything",
    { find: async () => true },
    "find, where there is one, tells what has arrived and what has not",
    "find answered true about one that was never sent, not false",
  ],
  [
    "that a send in a loop does not end",
    { send: () => new Promise(() => undefined) },
    "a message goes through a loop, and its answer arrives where it was written",
    'The gateway "room" did not end a send within 300 ms',
  ],
  [
    "that a send without a promise goes on",
    { send: () => undefined as never },
    "a send whose signal was aborted before fails and delivers nothing",
    "send resolved although the platform did not take the delivery",
  ],
])("a check says %s", async ([_what, broken, name, expected], t) => {
  const unhandled: unknown[] = [];
  const keep = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", keep);
  t.onTestFinished(() => void process.off("unhandledRejection", keep));
  const checks = gatewayChecks((room: Room) => ({ ...roomGateway(room), ...broken }), {
    createPlatform: async () => new Room(),
    maxWaitMs: 300,
  });

  const error = await checks
    .find((check) => check.name === name)
    ?.run()
    .catch((thrown: unknown) => thrown);
  await new Promise((resolve) => setTimeout(resolve, 350)); // what the check has left behind would reject by now

  expect(String(error)).toContain(expected);
  expect(unhandled).toEqual([]);
});
