import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { aMessage, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { SensoriumLoop } from "./sensorium-loop.ts";
import type { Ownership } from "./store.ts";

/** The store, with every call of its owner counted. */
function counting(store: OpenedStore) {
  const calls: Record<string, number> = {};
  const own: OpenedStore["own"] = async (options) =>
    new Proxy(await store.own(options), {
      get(ownership, name: keyof Ownership) {
        const value = ownership[name];
        if (typeof value !== "function") return value;
        calls[name] = (calls[name] ?? 0) + 1;
        return value.bind(ownership);
      },
    });
  return { store: { ...store, own }, calls };
}

describe.each(databaseKinds)("the loop on $name", ({ create }) => {
  test("is woken by another process's write, while its own clock stands still", async (t) => {
    const location = await create(t);
    const gateway = fakeGateway();
    await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    const other = await openStore(location);
    t.onTestFinished(() => other.close());

    await other.insertUnowned(aMessage({ content: "/echo from outside" }));
    const writtenAt = performance.now();
    await expect.poll(() => gateway.texts(), { interval: 5 }).toEqual(["completed: from outside"]);

    // The promise is 100 ms; a machine that runs other tests beside this one gets some air.
    expect(performance.now() - writtenAt).toBeLessThan(1000);
  });

  test("reads the database for its backlog alone: the work per message does not grow", async (t) => {
    const opened = await openStore(await create(t));
    t.onTestFinished(() => opened.close());
    const { store, calls } = counting(opened);
    const gateway = fakeGateway();
    const loop = new SensoriumLoop({ store });
    loop.registerGateway(gateway);
    loop.registerWorker(echo);
    t.onTestFinished(() => loop.stop());
    await loop.start();
    await loop.idle();
    const before = { ...calls };

    for (let index = 0; index < 200; index += 1)
      await gateway.say(`/echo ${index}`, { threadTs: `T${index % 10}` });
    await loop.idle();

    expect(gateway.sent).toHaveLength(200);
    expect(calls.accept).toBe(200);
    // The end of the message with its event and delivery, and the end of the delivery; at most an attempt each.
    expect(calls.record).toBeLessThanOrEqual(200 * 4);
    expect(calls.openMessages).toBe(before.openMessages);
    expect(calls.openDeliveries).toBe(before.openDeliveries);
  });
});
