/** The suite's part about what is said or written of a run too late: it counts, or is there for the next one, or is refused. */
import { describe, expect, test } from "vitest";
import type { NewDecision } from "../../core/run-store.ts";
import { begun, QUESTION, RACES, taken, waits } from "./begun-runs.ts";
import { aChange, accepted, type SetUp } from "./set-up.ts";

export function testLateWords(setUp: SetUp): void {
  describe("of what comes late for a run", () => {
    testLateWrites(setUp);
    testEventsInVain(setUp);
  });
}

function testLateWrites(setUp: SetUp): void {
  test("a write of its message that comes late leaves one that waits waiting", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    await waits(ownership, id, [{ ...QUESTION, dueAt: 9000 }]);
    await ownership.record({ shard: 0, message: aChange(id, { status: "claimed" }) });
    await ownership.record({ shard: 0, message: aChange(id, { status: "pending", nextAttemptAt: 1 }) });

    expect(await store.conversation(id)).toMatchObject({ status: "waiting" });
    expect(await ownership.wakeDue(9000)).toBe(1);
    await ownership.record({ shard: 0, message: aChange(id, { status: "claimed" }) });
    expect(await store.conversation(id)).toMatchObject({ status: "claimed" });
  });

  test("what comes by a clock that is ahead counts as long as it has not gone on without", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    const due = { dueAt: 9000, askedAt: 3001 };
    const event: NewDecision = { ...QUESTION, ...due, name: "ci", kind: "event", key: "ci" };
    const spoken = { ...QUESTION, name: "spoken", dueAt: 9000, askedAt: 3002 };
    await waits(ownership, id, [{ ...QUESTION, dueAt: 9000 }, event, spoken]);
    expect(await ownership.wakeDue(9000)).toBe(1);
    const { conversationId: said } = await accepted(ownership);
    const answers = { name: "spoken", value: "yes", by: "Ann", at: 9500 };
    const passedOn = { conversationId: said, userId: "U1", content: "yes", createdAt: 9500, answers };

    expect(await store.runs.answer(id, { ...answers, name: "sure" })).toBe(true);
    expect(await store.runs.signal("ci", { value: 1, at: 9500 })).toBe(1);
    await ownership.record({ shard: 0, run: { conversationId: id, passedOn } });
    expect(await store.runs.run(id)).toMatchObject({
      decisions: [{ answer: '"yes"' }, { answer: "1" }, { answer: '"yes"' }],
    });
  });

  test("what comes when it has gone on without changes nothing of that, and an event is there for the next", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    const event: NewDecision = { ...QUESTION, name: "ci", kind: "event", key: "ci" };
    await waits(ownership, id, [
      { ...QUESTION, dueAt: 9000 },
      { ...event, dueAt: 9000 },
    ]);
    expect(await ownership.wakeDue(9000)).toBe(1);
    const status = { value: "open", reason: null, at: 9000 } as const;
    await ownership.record({ shard: 0, message: aChange(id), run: { conversationId: id, status } });
    const { conversationId: said } = await accepted(ownership);
    const answers = { name: "sure", value: "yes", by: "Ann", at: 9000 };

    expect(await store.runs.answer(id, answers)).toBe(false);
    expect(await store.runs.signal("ci", { value: 1, at: 9000 })).toBe(0);
    const passedOn = { conversationId: said, userId: "U1", content: "yes", createdAt: 9000, answers };
    const passes = ownership.record({ shard: 0, run: { conversationId: id, passedOn } });
    await expect(passes).rejects.toMatchObject({ code: "RUN_INVALID" });
    expect(await store.runs.run(id)).toMatchObject({ decisions: [{ answer: null }, { answer: null }] });
    const next = await begun(ownership);
    await waits(ownership, next, [event]);
    expect(await taken(ownership)).toContain(next);
  });

  test("a step that is done takes back what was counted against its message before", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    await ownership.record({ shard: 0, message: aChange(id, { attempts: 7, interruptions: 6 }) });
    const step = { name: "clone", ordinal: 0, begunAt: 2100, attempts: 1 };
    await ownership.record({ shard: 0, run: { conversationId: id, step } });
    expect(await store.conversation(id)).toMatchObject({ attempts: 7, interruptions: 6 });
    await ownership.record({
      shard: 0,
      run: { conversationId: id, step: { ...step, result: "1", endedAt: 2200 } },
    });
    expect(await store.conversation(id)).toMatchObject({ status: "claimed", attempts: 1, interruptions: 0 });
  });
}

function testEventsInVain(setUp: SetUp): void {
  test("what is told while one goes on without it is not told in vain: it sees that, or the other is refused", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const event: NewDecision = { ...QUESTION, kind: "event", name: "ci", dueAt: 9000, askedAt: 3001 };
    const ids: number[] = [];
    for (let race = 0; race < RACES; race += 1) {
      const id = await begun(ownership);
      await waits(ownership, id, [
        { ...QUESTION, dueAt: 9000 },
        { ...event, key: `ci ${id}` },
      ]);
      ids.push(id);
    }
    expect(await ownership.wakeDue(9000)).toBe(RACES);
    const status = { value: "open", reason: null, at: 9000 } as const;
    const goesOn = async (id: number) => {
      await ownership.record({ shard: 0, message: aChange(id), run: { conversationId: id, status } });
      return (await store.runs.run(id))?.decisions.map(({ answer }) => answer !== null);
    };
    const answers = { name: "sure", value: "yes", by: "Ann", at: 9000 };
    const tells = async (id: number) =>
      Promise.all([store.runs.answer(id, answers), store.runs.signal(`ci ${id}`, { value: 1, at: 9000 })]);

    const seen = await Promise.all(ids.map((id) => Promise.all([goesOn(id), tells(id)])));
    for (const [known, [isAnswered, told]] of seen) expect(known).toEqual([isAnswered, told === 1]);
  });

  test("an event is not used up by one that has ended, or has gone on without, nor by what is written late of it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const event: NewDecision = { ...QUESTION, name: "ci", kind: "event", key: "ci" };
    const waiting = [
      { id: await begun(ownership), decisions: [{ ...event, dueAt: 9000 }], becomes: "open" },
      { id: await begun(ownership), decisions: [event], becomes: "failed" },
    ] as const;
    for (const { id, decisions } of waiting) await waits(ownership, id, [...decisions]);
    expect(await ownership.wakeDue(9000)).toBe(1);
    for (const { id, becomes: value } of waiting) {
      const message = aChange(id, { status: value === "failed" ? "done" : "claimed" });
      const run = { conversationId: id, status: { value, reason: null, at: 9000 } };
      await ownership.record({ shard: 0, message, run });
    }

    expect(await store.runs.signal("ci", { value: 1, at: 8500 })).toBe(0);
    for (const { id, decisions } of waiting) {
      await waits(ownership, id, [...decisions]);
      expect(await store.runs.run(id)).toMatchObject({ decisions: [{ answer: null }] });
    }
    // It is there for whoever waits for it later.
    const next = await begun(ownership);
    await waits(ownership, next, [event]);
    expect(await store.runs.run(next)).toMatchObject({ decisions: [{ answer: "1" }] });
  });

  test("the second of two events of one instant is kept for the next, whether one waits for the first or finds it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const event = (key: string): NewDecision => ({ ...QUESTION, name: "ci", kind: "event", key });
    const at = QUESTION.askedAt;
    await waits(ownership, await begun(ownership), [event("waited for")]);
    expect(await store.runs.signal("waited for", { value: 1, at })).toBe(1);
    expect(await store.runs.signal("found", { value: 1, at })).toBe(0);
    await waits(ownership, await begun(ownership), [event("found")]);

    for (const key of ["waited for", "found"]) {
      expect(await store.runs.signal(key, { value: 2, at })).toBe(0);
      const next = await begun(ownership);
      await waits(ownership, next, [event(key)]);
      expect(await store.runs.run(next)).toMatchObject({ decisions: [{ answer: "2" }] });
    }
  });
}
