/** The suite's part about runs: what their owner writes is whole, fenced and safe to repeat; what others say wakes it. */
import { describe, expect, test } from "vitest";
import type { NewRun, RunChange } from "../../core/run-store.ts";
import { begun, ends, QUESTION, run, waits } from "./begun-runs.ts";
import { expectWake } from "./ownership.ts";
import { testNotes } from "./run-notes.ts";
import {
  aChange,
  accepted,
  aDeliveryChange,
  anEvent,
  arrived,
  openWork,
  type SetUp,
  type StoreKind,
  storedEvent,
} from "./set-up.ts";

function aRun(more: Partial<NewRun> = {}): NonNullable<RunChange["begin"]> {
  return { ...run, ...more };
}

export function testRuns(setUp: SetUp, kind: StoreKind): void {
  describe("of runs", () => {
    testBegin(setUp);
    testRefusals(setUp);
    testSteps(setUp, kind);
    testWaiting(setUp);
    testMistakes(setUp);
    testNotes(setUp);
    testRunEnds(setUp);
  });
}

function testBegin(setUp: SetUp): void {
  test("one that begins is told with its message, and repeating the write changes nothing", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId, message } = await accepted(ownership, { threadTs: "T1" });
    const change = { shard: 0, run: { conversationId, begin: aRun({ lane: "task A-1", title: "A-1" }) } };
    await ownership.record(change);
    await ownership.record(change);

    const run = {
      conversationId,
      worker: "w",
      version: 1,
      lane: "task A-1",
      title: "A-1",
      status: "open",
      round: 1,
    };
    const thread = { gateway: "a", channelId: message.channelId, threadTs: "T1" };
    expect(await store.runs.run(conversationId)).toMatchObject({
      ...run,
      ...thread,
      userId: "U1",
      endedAt: null,
    });
    for (const filter of [{ isOpen: true }, { thread }, { lane: "task A-1" }])
      expect(await store.runs.runs(filter)).toMatchObject([run]);
    expect(await store.runs.runs({ isOpen: false })).toEqual([]);
    expect(await store.runs.openThreads({ after: 0, limit: 10 })).toEqual([{ conversationId, ...thread }]);
    expect(await store.runs.openThreads({ after: conversationId, limit: 10 })).toEqual([]);
    const reference = { worker: "w", version: 1, isDetached: true, isOpen: true, round: 1 };
    expect((await openWork(ownership)).messages).toMatchObject([{ conversationId, run: reference }]);
  });
}

function testRefusals(setUp: SetUp): void {
  test("one of a lane that is taken is refused with who has it, and its neighbours are stored", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const first = await begun(ownership, { lane: "task A-1" });
    const messages = await Promise.all(Array.from({ length: 3 }, () => accepted(ownership)));
    const [before, second, after] = messages.map(({ conversationId }) => conversationId) as [
      number,
      number,
      number,
    ];
    const event = (conversationId: number) => ({ shard: 0, events: [anEvent(conversationId)] });
    const begin = aRun({ lane: "task A-1", title: "A-1" });

    const [stored, refused, other] = await Promise.allSettled([
      ownership.record(event(before)),
      ownership.record({ ...event(second), run: { conversationId: second, begin } }),
      ownership.record(event(after)),
    ]);

    expect([stored.status, other.status]).toEqual(["fulfilled", "fulfilled"]);
    expect(refused).toMatchObject({
      reason: { code: "RUN_EXISTS", message: `Run ${first} is at this already: A-1` },
    });
    expect(await Promise.all([before, second, after].map((id) => store.events(id)))).toMatchObject([
      [{}],
      [],
      [{}],
    ]);
    expect(await store.runs.run(second)).toBeUndefined();
    await ends(ownership, first);
    await ownership.record({ shard: 0, run: { conversationId: second, begin } });
    expect(await store.runs.runs({ lane: "task A-1" })).toHaveLength(2);
  });

  test("a delivery that someone has closed is refused alone", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { eventId } = await storedEvent(ownership);
    const others = await Promise.all(Array.from({ length: 3 }, () => storedEvent(ownership)));
    await ownership.record({
      shard: 0,
      delivery: aDeliveryChange(eventId, { status: "dead", lastError: "x" }),
    });
    const [letter] = await store.deadLetters({ limit: 1 });
    if (letter) await store.discardDeadLetter(letter);

    const [closed, ...stored] = await Promise.allSettled([
      ownership.record({ shard: 0, delivery: aDeliveryChange(eventId) }),
      ...others.map((other) => ownership.record({ shard: 0, delivery: arrived(other.eventId) })),
    ]);

    expect(closed).toMatchObject({ reason: { code: "DELIVERY_CLOSED" } });
    expect(stored.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  });
}

function testSteps(setUp: SetUp, { takeOver }: StoreKind): void {
  const step = { name: "clone", ordinal: 0, begunAt: 2100, attempts: 1 };

  test("a step that has ended keeps its result, whoever writes it again", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    const write = (run: Omit<RunChange, "conversationId">) =>
      ownership.record({ shard: 0, run: { conversationId, ...run } });
    await write({ step, effect: { step: "clone", key: "k", outcome: "intended", at: 2100 } });
    const done = {
      step: { ...step, attempts: 2, result: "1", endedAt: 2200 },
      effect: { step: "clone", key: "k", outcome: "found", at: 2200 },
    } as const;
    await write(done);
    await write(done);
    await write({ step: { ...step, attempts: 3, result: "2", endedAt: 2300 } });

    expect(await store.runs.run(conversationId)).toMatchObject({
      steps: [{ ...step, attempts: 2, result: "1", endedAt: 2200 }],
      effects: [{ step: "clone", key: "k", outcome: "found", at: 2200 }],
    });
  });

  test("a step and the events that it emitted are stored together or not at all", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    const unknown = { kind: "nobody knows this" };
    const refused = ownership.record({
      shard: 0,
      events: [anEvent(conversationId)],
      run: { conversationId, step, writes: [unknown] },
    });

    await expect(refused).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await store.events(conversationId)).toEqual([]);
    expect(await store.runs.run(conversationId)).toMatchObject({ steps: [] });
  });

  test("an owner whose database was taken over can write no step", async () => {
    const { location, store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await takeOver(location);
    const write = ownership.record({ shard: 0, run: { conversationId, step } });
    await expect(write).rejects.toMatchObject({ code: "LEASE_LOST" });
    await expect(ownership.wakeDue(9000)).rejects.toMatchObject({ code: "LEASE_LOST" });
    expect(await store.runs.run(conversationId)).toMatchObject({ steps: [] });
  });
}

function testWaiting(setUp: SetUp): void {
  test("one that waits is no open work until it is answered, which wakes its owner", async () => {
    const { store, own, openAnother } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await waits(ownership, conversationId, [QUESTION]);
    expect((await openWork(ownership)).messages).toEqual([]);
    expect(await store.conversation(conversationId)).toMatchObject({ status: "waiting" });
    const waiting = { status: "waiting", decisions: [{ answer: null }] };
    expect(await store.runs.run(conversationId)).toMatchObject(waiting);

    const other = await openAnother();
    const answer = { name: "sure", value: "yes", by: "Ann", at: 5000 };
    expect(await other.runs.answer(conversationId, { ...answer, name: "another" })).toBe(false);
    expect(await expectWake(ownership, () => other.runs.answer(conversationId, answer))).toBe(true);
    expect(await other.runs.answer(conversationId, { ...answer, value: "no" })).toBe(false);

    expect(await ownership.takeUnowned(10)).toMatchObject([
      { conversationId, status: "pending", run: { worker: "w" } },
    ]);
    expect(await ownership.takeUnowned(10)).toEqual([]);
    expect(await store.runs.run(conversationId)).toMatchObject({
      decisions: [{ answer: '"yes"', answeredBy: "Ann", answeredAt: 5000 }],
    });
  });

  test("one whose answer was there before it began to wait goes on at once", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    const event = { ...QUESTION, name: "ci", kind: "event" as const, key: "ci A-1" };
    expect(await store.runs.signal("ci A-1", { value: { ok: true }, at: 2500 })).toBe(0);
    await waits(ownership, conversationId, [event]);

    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId, status: "pending" }]);
    expect(await store.runs.run(conversationId)).toMatchObject({ decisions: [{ answer: '{"ok":true}' }] });
    const next = await begun(ownership);
    await waits(ownership, next, [event]);
    // It was used up.
    expect(await ownership.takeUnowned(10)).toEqual([]);
    expect(await store.runs.signal("ci A-1", { value: 2, at: 6000 })).toBe(1);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId: next }]);
  });

  test("one that waits for a time is woken when it has come, once", async () => {
    const { own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await waits(ownership, conversationId, [{ ...QUESTION, name: "nap", kind: "sleep", dueAt: 9000 }]);

    expect(await ownership.wakeDue(8999)).toBe(0);
    expect(await ownership.wakeDue(9000)).toBe(1);
    expect(await ownership.wakeDue(9000)).toBe(0);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId, status: "pending" }]);
  });

  test("what it waits for since one instant is told in one order, by name", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await waits(ownership, conversationId, [
      { ...QUESTION, name: "b" },
      { ...QUESTION, name: "a" },
    ]);

    const decisions = [{ name: "a" }, { name: "b" }];
    expect(await store.runs.run(conversationId)).toMatchObject({ decisions });
  });
}

function testMistakes(setUp: SetUp): void {
  test("an event that cannot be told is refused with what is wrong", async () => {
    const { store } = await setUp();
    const signal = store.runs.signal as (key: unknown, event?: unknown) => Promise<number>;
    const mistakes: [why: string, key: unknown, event?: unknown][] = [
      ["its key is undefined", undefined, { value: 1, at: 2500 }],
      ["its key is an empty text", "", { value: 1, at: 2500 }],
      ["it is undefined", "ci"],
      ['its instant "at" is undefined, not whole milliseconds', "ci", { value: 1 }],
      ['its instant "at" is 2.5, not whole milliseconds', "ci", { value: 1, at: 2.5 }],
      ["its value is undefined, which JSON cannot hold", "ci", { at: 2500 }],
      ["its value is a bigint, which JSON cannot hold", "ci", { value: 1n, at: 2500 }],
    ];

    for (const [why, key, event] of mistakes) {
      await expect(signal(key, event)).rejects.toMatchObject({
        code: "RUN_INVALID",
        message: `Cannot tell of an event: ${why}`,
        hint: expect.stringContaining('signal("build-7", { value: "passed", at: Date.now() })'),
      });
    }
  });
}

function testRunEnds(setUp: SetUp): void {
  test("one that has ended is opened again by whoever wants it, and begins its next round with its steps", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership, { lane: "task A-1" });
    const step = { name: "clone", ordinal: 0, begunAt: 1, attempts: 1, result: "1", endedAt: 2 };
    await ownership.record({ shard: 0, run: { conversationId, step } });
    expect(await store.runs.reopen(conversationId)).toBe(false);
    await ends(ownership, conversationId);
    expect(await store.runs.run(conversationId)).toMatchObject({
      status: "failed",
      reason: "no luck",
      endedAt: 4000,
    });

    expect(await store.runs.reopen(conversationId)).toBe(true);
    expect(await store.runs.reopen(conversationId)).toBe(false);
    expect(await store.runs.reopen(4711)).toBe(false);
    const reference = { isOpen: false, round: 1 };
    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId, attempts: 0, run: reference }]);
    const begin = { ...aRun({ lane: "task A-1", createdAt: 6000 }), round: 2 };
    await ownership.record({ shard: 0, run: { conversationId, begin } });
    await ownership.record({ shard: 0, run: { conversationId, begin } });
    expect(await store.runs.run(conversationId)).toMatchObject({
      ...{ status: "open", reason: null, endedAt: null, round: 2 },
      steps: [{ name: "clone", result: "1" }],
    });
  });

  test("one that is done is not opened again, by who has seen it failed and was not told that it goes on", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await ends(ownership, conversationId);
    expect(await store.runs.reopen(conversationId)).toBe(true);
    const round = { ...run, round: 2 };
    await ownership.record({ shard: 0, run: { conversationId, begin: round } });
    await ownership.record({
      shard: 0,
      message: aChange(conversationId, { status: "done", round: 1 }),
      run: { conversationId, round: 2, status: { value: "done", reason: null, at: 5000 } },
    });

    expect(await store.runs.reopen(conversationId)).toBe(false);

    expect(await store.conversation(conversationId)).toMatchObject({ status: "done" });
    expect(await ownership.takeUnowned(10)).toEqual([]);
  });

  test("one that is opened again while another has its lane is refused", async () => {
    const { own } = await setUp();
    const ownership = await own();
    const first = await begun(ownership, { lane: "task A-1" });
    await ends(ownership, first);
    await begun(ownership, { lane: "task A-1" });
    const begin = { ...aRun({ lane: "task A-1" }), round: 2 };
    const again = ownership.record({ shard: 0, run: { conversationId: first, begin } });
    await expect(again).rejects.toMatchObject({ code: "RUN_EXISTS" });
  });
}
