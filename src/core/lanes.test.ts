import { expect, test } from "vitest";
import { createTestClock } from "../testing/test-clock.ts";
import { Lanes, type LanesOptions } from "./lanes.ts";

const FOREVER = Number.POSITIVE_INFINITY;

/** Lanes of texts, with what ran in its order. */
function lanesOf(run: LanesOptions<string>["run"], more: Partial<LanesOptions<string>> = {}) {
  const ran: string[] = [];
  const clock = createTestClock(0);
  const lanes = new Lanes<string>({
    clock,
    slots: 2,
    run: (item, lane) => {
      ran.push(item);
      return run(item, lane);
    },
    onBug: (error) => {
      throw error;
    },
    ...more,
  });
  return { lanes, ran, clock };
}

test("a lane that is resumed while its item runs is not held by that item, whenever it says so", async () => {
  const { lanes, ran } = lanesOf(async () => {
    if (ran.length > 1) return undefined;
    lanes.resume("lane");
    return FOREVER;
  });

  lanes.enter("lane", "a");
  await lanes.idle();

  expect(ran).toEqual(["a", "a"]);
  expect(lanes.heldCount).toBe(0);
});

test("a resume counts for one hold: the next one is kept", async () => {
  const { lanes, ran } = lanesOf(async () => {
    if (ran.length === 1) lanes.resume("lane");
    return FOREVER;
  });

  lanes.enter("lane", "a");
  await lanes.idle();

  expect(ran).toEqual(["a", "a"]);
  expect(lanes.heldCount).toBe(1);
});

test("a resume of a lane that waits, or that there is not, changes nothing", async () => {
  const { lanes, ran } = lanesOf(async () => undefined, { slots: 1 });

  lanes.enter("one", "a");
  lanes.enter("two", "b");
  lanes.resume("two");
  lanes.resume("three");
  await lanes.idle();

  expect(ran).toEqual(["a", "b"]);
});

test("a held lane takes no slot, and all its items count as held, those that come later too", async () => {
  const { lanes, ran, clock } = lanesOf(
    async (item) => (item === "a" && clock.now() === 0 ? 100 : undefined),
    {
      slots: 1,
    },
  );

  lanes.enter("one", "a");
  await lanes.idle();
  lanes.enter("one", "b");
  lanes.enter("two", "c");
  await lanes.idle();
  expect(ran).toEqual(["a", "c"]);
  expect(lanes.heldCount).toBe(2);

  await clock.advance(100);
  await lanes.idle();
  expect(ran).toEqual(["a", "c", "a", "b"]);
  expect(lanes.heldCount).toBe(0);
});

test("what waits behind the first of its lane counts as held, what waits for a slot does not", async () => {
  const goOn = Promise.withResolvers<undefined>();
  const { lanes } = lanesOf(() => goOn.promise, { slots: 1 });

  for (const item of ["a", "b", "c"]) lanes.enter("one", item);
  lanes.enter("two", "d");

  expect(lanes.heldCount).toBe(2);
  expect(lanes.remove((item) => item === "b" || item === "d")).toEqual(["b", "d"]);
  expect(lanes.heldCount).toBe(1);
  goOn.resolve(undefined);
  await lanes.idle();
  expect(lanes.heldCount).toBe(0);
});

test("whoever waits for fewer to be held is told when one has come to be the first of its lane, and when a lane is held", async () => {
  const counts: number[] = [];
  const { lanes, clock } = lanesOf(async (item) => (item === "b" && clock.now() === 0 ? 100 : undefined), {
    slots: 1,
    onHeldCount: () => counts.push(lanes.heldCount),
  });

  for (const item of ["a", "b", "c"]) lanes.enter("lane", item);
  await lanes.idle();
  expect(counts).toEqual([1, 2]);

  await clock.advance(100);
  await lanes.idle();
  expect(counts).toEqual([1, 2, 0]);
});

test("an item that is not certain yet does not count as one that waits", async () => {
  const certain = new Set(["a", "c"]);
  const seen: boolean[] = [];
  const { lanes } = lanesOf(
    async (_item, lane) => {
      await null;
      seen.push(lane.hasLater());
      return undefined;
    },
    { counts: (item) => certain.has(item) },
  );

  lanes.enter("lane", "a");
  lanes.enter("lane", "b");
  lanes.enter("other", "a");
  lanes.enter("other", "c");
  await lanes.idle();

  expect(seen).toEqual([false, true, false, false]);
});

test("a stop begins no item more, not even one of a lane that is resumed", async () => {
  const { lanes, ran, clock } = lanesOf(async () => 100);

  lanes.enter("lane", "a");
  await lanes.idle();
  lanes.stop();
  lanes.resume("lane");
  await clock.advance(1000);
  await lanes.idle();

  expect(ran).toEqual(["a"]);
});

test("items that begin ahead of their slots run at once, and no more of them go on than there are slots", async () => {
  const stored = Promise.withResolvers<void>();
  let sending = 0;
  const counts: number[] = [];
  const { lanes, ran } = lanesOf(
    async (_, lane) => {
      await stored.promise;
      await lane.takeSlot();
      sending += 1;
      counts.push(sending);
      await Promise.resolve();
      sending -= 1;
      return undefined;
    },
    { maxAhead: 3 },
  );

  const begun = ["a", "b", "c", "d", "e", "f"].map((item) => lanes.enterAhead(item, item));
  expect(begun).toEqual([true, true, true, true, true, false]);
  expect(ran).toEqual(["a", "b", "c", "d", "e"]);
  stored.resolve();
  await lanes.idle();

  expect(ran).toHaveLength(6);
  expect(Math.max(...counts)).toBe(2);
});

test("nothing begins ahead of what waits for a slot", async () => {
  const held = Promise.withResolvers<undefined>();
  const { lanes, ran } = lanesOf(() => held.promise, { slots: 1, maxAhead: 3 });

  lanes.enter("one", "a");
  lanes.enter("two", "b");

  expect(lanes.enterAhead("three", "c")).toBe(false);
  expect(ran).toEqual(["a"]);
  held.resolve(undefined);
  await lanes.idle();
  expect(ran).toEqual(["a", "b", "c"]);
});

test("what began ahead gets its slot after a stop too, and counts until it has ended", async () => {
  const first = Promise.withResolvers<undefined>();
  const { lanes, ran } = lanesOf(
    async (item, lane) => {
      if (item === "a") return first.promise;
      await lane.takeSlot();
      ran.push(`${item} goes on`);
      return undefined;
    },
    { slots: 1, maxAhead: 1 },
  );

  lanes.enter("one", "a");
  expect(lanes.enterAhead("two", "b")).toBe(true);
  lanes.enter("three", "c");
  lanes.stop();
  const idle = lanes.idle();
  await Promise.resolve();
  expect(ran).toEqual(["a", "b"]);
  first.resolve(undefined);
  await idle;

  expect(ran).toEqual(["a", "b", "b goes on"]);
});
