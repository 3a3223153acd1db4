import { expect, test } from "vitest";
import { Backlog } from "./backlog.ts";

interface Row {
  id: number;
}

function setUp(options: { maxLoaded?: number } = {}) {
  const table = new Map<number, Row>();
  const memory = new Set<number>();
  const loads: number[] = [];
  const reads: PromiseWithResolvers<void>[] = [];
  const backlog = new Backlog<Row>({
    async read({ after, limit }) {
      const open = [...table.values()].sort((a, b) => a.id - b.id);
      const rows = open.filter(({ id }) => id > after).slice(0, limit);
      const answer = Promise.withResolvers<void>();
      reads.push(answer);
      await answer.promise;
      return rows;
    },
    idOf: ({ id }) => id,
    keyOf: ({ id }) => id,
    textOf: () => "",
    load({ id }) {
      if (memory.has(id)) return;
      memory.add(id);
      loads.push(id);
    },
    loadedCount: () => memory.size,
    maxLoaded: options.maxLoaded ?? 100,
    onLive: () => undefined,
    onReadError: () => Promise.reject(new Error("gave up")),
  });
  const store = (...ids: number[]) => ids.forEach((id) => void table.set(id, { id }));
  const finish = (id: number) => {
    table.delete(id);
    memory.delete(id);
    backlog.ended(id);
  };
  /** Answers reads until there is none. */
  const answerReads = async () => {
    for (let turns = 0; turns < 20; turns += 1) {
      reads.shift()?.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { backlog, memory, loads, reads, store, finish, answerReads };
}

test("what is open is read in the order of ids before anything is live", async () => {
  const { backlog, loads, store, answerReads } = setUp();
  store(1, 2, 3);

  backlog.catchUp();
  expect(backlog.isLive).toBe(false);
  await answerReads();

  expect(loads).toEqual([1, 2, 3]);
  expect(backlog.isLive).toBe(true);
});

test("what ended while a page was read is not loaded from that page", async () => {
  const { backlog, loads, store, finish, reads, answerReads } = setUp();
  store(1, 2);
  backlog.catchUp();
  await answerReads();

  backlog.fallBehind();
  await new Promise((resolve) => setImmediate(resolve));
  expect(reads).toHaveLength(1);
  finish(1);
  await answerReads();

  expect(loads).toEqual([1, 2]);
  expect(backlog.isLive).toBe(true);
});

test("a write that was let in while behind is in memory exactly once, before what is let in after", async () => {
  const { backlog, loads, store, answerReads } = setUp();
  backlog.catchUp();
  const admission = await backlog.admit();
  expect(admission).toBe("behind");
  await answerReads();
  expect(backlog.isLive).toBe(false);

  let later: string | undefined;
  const laterAdmitted = Promise.resolve(backlog.admit()).then((given) => {
    later = given;
  });
  await answerReads();
  expect(later).toBeUndefined();
  store(7);
  backlog.stored({ id: 7 });
  backlog.end(admission);
  await answerReads();
  await laterAdmitted;

  expect(later).toBe("live");
  expect(loads).toEqual([7]);
});

test("no more than maxLoaded are in memory, and the rest is read as room comes free", async () => {
  const { backlog, memory, loads, store, finish, answerReads } = setUp({ maxLoaded: 1000 });
  store(...Array.from({ length: 3000 }, (_, index) => index + 1));

  backlog.catchUp();
  await answerReads();
  expect(memory.size).toBeLessThanOrEqual(1000);
  expect(backlog.isLive).toBe(false);

  for (let id = 1; id <= 3000; id += 1) {
    if (!memory.has(id)) await answerReads();
    finish(id);
  }
  await answerReads();
  expect(loads).toHaveLength(3000);
  expect(loads).toEqual([...loads].sort((a, b) => a - b));
  expect(backlog.isLive).toBe(true);
});

test("room that comes free just after none was found is read into", async () => {
  for (let turns = 0; turns < 6; turns += 1) {
    const { backlog, loads, store, finish, answerReads } = setUp({ maxLoaded: 2 });
    store(1, 2);
    backlog.catchUp();
    await answerReads();
    store(3);

    finish(1);
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    finish(2);
    await answerReads();

    expect(loads).toEqual([1, 2, 3]);
  }
});

test("when memory is full the next write is let in as behind", async () => {
  const { backlog, store, answerReads } = setUp({ maxLoaded: 2 });
  backlog.catchUp();
  await answerReads();
  store(1, 2);
  for (const id of [1, 2]) {
    const admission = await backlog.admit();
    backlog.stored({ id });
    backlog.end(admission);
  }

  expect(await backlog.admit()).toBe("behind");
});

test("whoever waits for the rows up to his own is told when they are read, or when there is no room to read on", async () => {
  const { backlog, loads, store, answerReads } = setUp({ maxLoaded: 4 });
  backlog.catchUp();
  await answerReads();
  await backlog.reached(9);

  store(1, 2, 3);
  backlog.fallBehind();
  const seen: number[][] = [];
  const reached = [2, 99].map((id) => backlog.reached(id).then(() => seen.push([...loads])));
  await answerReads();
  await Promise.all(reached);

  expect(seen).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  await backlog.reached(100);
});

test("who waits while it falls behind anew is told by the new reading, and whether it came so far", async () => {
  const { backlog, loads, store, answerReads, reads } = setUp({ maxLoaded: 4 });
  store(1);
  backlog.catchUp();
  store(2);
  backlog.fallBehind();
  const told: [boolean, number[]][] = [];
  const waiting = [2, 99].map((id) =>
    backlog.reached(id).then((isReached) => told.push([isReached, [...loads]])),
  );
  // The page that was asked for before is not believed.
  reads.shift()?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
  await answerReads();
  await Promise.all(waiting);

  expect(told).toEqual([
    [true, [1, 2]],
    [false, [1, 2]],
  ]);
});

test("a reading comes to its end however often it is to be done again, and is followed by one more", async () => {
  const { backlog, loads, reads, store, answerReads } = setUp();
  store(1);
  backlog.catchUp();
  await new Promise((resolve) => setImmediate(resolve));
  store(2);

  for (let pages = 0; pages < 5; pages += 1) {
    backlog.readAgain();
    reads.shift()?.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(loads).toEqual([1, 2]);
  await answerReads();
  expect(backlog.isLive).toBe(true);

  store(3);
  backlog.readAgain();
  expect(backlog.isLive).toBe(false);
  await answerReads();
  expect(loads).toEqual([1, 2, 3]);
  expect(backlog.isLive).toBe(true);
});

test("a reading that has asked for nothing yet is not followed by one more", async () => {
  const { backlog, reads, answerReads } = setUp();
  backlog.catchUp();
  backlog.readAgain();
  await answerReads();
  expect(backlog.isLive).toBe(true);

  backlog.fallBehind();
  backlog.readAgain();
  await new Promise((resolve) => setImmediate(resolve));
  reads.shift()?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  reads.shift()?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect([backlog.isLive, reads.length]).toEqual([true, 0]);
});

test("what is stored while a page is read is in memory, although the page is older and has what comes behind it", async () => {
  const { backlog, loads, store, answerReads } = setUp();
  store(11);
  backlog.catchUp();
  const admission = await backlog.admit();
  await new Promise((resolve) => setImmediate(resolve));

  store(10);
  backlog.stored({ id: 10 });
  backlog.end(admission);
  await answerReads();

  expect(loads).toEqual([11, 10]);
  expect(backlog.isLive).toBe(true);
});

test("a row that was missed is read where the reading has passed it, before what comes after", async () => {
  const { backlog, memory, loads, store, answerReads } = setUp();
  store(1, 4);
  backlog.catchUp();
  await answerReads();
  store(2, 3);
  backlog.missed(2);
  expect(backlog.isLive).toBe(false);

  await answerReads();

  expect(loads).toEqual([1, 4, 2, 3]);
  expect([backlog.isLive, memory.size]).toEqual([true, 4]);
});

test("a page that is older than a row that was missed, and reaches beyond it, is read once more", async () => {
  const { backlog, loads, reads, store, answerReads } = setUp();
  store(1, 4);
  backlog.catchUp();
  await new Promise((resolve) => setImmediate(resolve));
  expect(reads).toHaveLength(1);

  store(2);
  backlog.missed(2);
  await answerReads();

  expect(loads).toEqual([1, 2, 4]);
});

test("a reading that has yet to come to a row does not begin anew for its sake", async () => {
  const { backlog, loads, reads, store, answerReads } = setUp();
  store(1);
  backlog.catchUp();
  await new Promise((resolve) => setImmediate(resolve));
  store(2);
  for (let count = 0; count < 5; count += 1) backlog.missed(2);
  expect(reads).toHaveLength(1);

  await answerReads();

  expect(loads).toEqual([1, 2]);
  expect(backlog.isLive).toBe(true);
});
