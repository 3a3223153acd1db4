/** What a process looks at by itself: however slow the database is, its looks do not pile up. */
import { expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog, startInterferedLoop } from "../testing/interfered-loop.ts";
import { aChange, anEvent } from "../testing/store-suite/set-up.ts";
import { type TestEnd, temporaryFolder } from "../testing/temporary-folder.ts";
import { type ErrorCode, RobsonError } from "./errors.ts";
import type { Ownership } from "./store.ts";

const MINUTE_MS = 60_000;

test("what waits for gateways that nobody runs is looked at by one look at a time", async (t) => {
  const looks: (() => void)[] = [];
  const { clock, loop } = await startInterferedLoop(t, {
    gateways: [fakeGateway()],
    interfere: () => ({
      expireUnregistered: () => new Promise((resolve) => looks.push(() => resolve([]))),
    }),
  });
  await clock.advance(10 * MINUTE_MS);
  expect(looks).toHaveLength(1);

  // What was due meanwhile is made up for, once.
  looks[0]?.();
  await expect.poll(() => looks.length).toBe(2);
  looks[1]?.();
  await loop.idle();
  expect(looks).toHaveLength(2);
  await clock.advance(MINUTE_MS);
  expect(looks).toHaveLength(3);
});

test.for<[keyof Ownership, ErrorCode]>([
  ["expireUnregistered", "STORE_UNAVAILABLE"],
  ["takeUnowned", "STORE_FULL"],
  ["takeUnowned", "STORE_READ_ONLY"],
])(
  "trouble of the database while it is looked at is no fault of the program, and it is looked at again: %s, %s",
  async ([look, code], t) => {
    const log = keptLog();
    let looks = 0;
    const { clock, loop } = await startInterferedLoop(t, {
      gateways: [fakeGateway()],
      log,
      interfere: () => ({
        async [look]() {
          looks += 1;
          throw new RobsonError(code, "Cannot use the database");
        },
      }),
    });
    await loop.idle();
    const before = looks;

    await clock.advance(MINUTE_MS);
    await loop.idle();

    expect(looks).toBeGreaterThan(before);
    expect(log.lines.filter(({ level }) => level === "error")).toEqual([]);
  },
);

test("open deliveries that take longer to read than a look is from the next are delivered all the same", async (t) => {
  const location = await withOpenDelivery(t);
  const gateway = fakeGateway();
  const reads: (() => void)[] = [];
  let isSlow = true;
  const { clock } = await startInterferedLoop(t, {
    location,
    gateways: [gateway],
    interfere: (ownership) => ({
      async openDeliveries(page) {
        const rows = await ownership.openDeliveries(page);
        if (isSlow) await new Promise<void>((resolve) => reads.push(resolve));
        return rows;
      },
    }),
  });

  // The loop's stop waits for what is being read.
  t.onTestFinished(() => {
    isSlow = false;
    for (const answer of reads) answer();
  });

  for (let looks = 1; looks <= 3; looks += 1) {
    await expect.poll(() => reads.length).toBe(looks);
    await clock.advance(MINUTE_MS);
    reads[looks - 1]?.();
  }

  await expect.poll(() => gateway.texts()).toEqual(["completed: done"]);
});

/** A database with an answer that a process before has left to be sent. */
async function withOpenDelivery(t: TestEnd): Promise<string> {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const store = await openStore(location);
  const ownership = await store.own({ owner: "the one before", gateways: ["fake"], now: 0 });
  const at = { shard: 0, status: "claimed", attempts: 1 } as const;
  const { conversationId } = await ownership.accept(aMessage(), at);
  const delivery = {
    gateway: "fake",
    target: "C1",
    deliveryId: "d1",
    status: "pending",
    attempts: 0,
  } as const;
  await ownership.record({
    shard: 0,
    message: aChange(conversationId, { status: "done" }),
    events: [anEvent(conversationId, { sequence: -1, deliveries: [delivery] })],
  });
  await store.close();
  return location;
}
