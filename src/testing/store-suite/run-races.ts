/** The suite's part about runs in a race: what is said while one begins to wait, or takes its message away. */
import { describe, expect, test } from "vitest";
import type { NewDecision } from "../../core/run-store.ts";
import { begun, QUESTION, RACES, run, taken, waits } from "./begun-runs.ts";
import { aChange, accepted, type SetUp } from "./set-up.ts";

export function testRunRaces(setUp: SetUp): void {
  describe("of runs in a race", () => {
    testBeginningToWait(setUp);
    testOneLane(setUp);
    testLateChanges(setUp);
    testWithoutMessage(setUp);
  });
}

function testOneLane(setUp: SetUp): void {
  test("of all that begin, or go on, in one lane at the same instant one does, and the others are told which", async () => {
    const { own } = await setUp();
    const ownership = await own();
    for (let race = 0; race < RACES / 4; race += 1) {
      const lane = `task A-${race}`;
      const ids: number[] = [];
      for (let count = 0; count < 2; count += 1) {
        const conversationId = await begun(ownership, { lane });
        const status = { value: "stopped", reason: null, at: 3000 } as const;
        await ownership.record({ shard: 0, run: { conversationId, status } });
        ids.push(conversationId);
      }
      ids.push((await accepted(ownership)).conversationId);

      const outcomes = await Promise.allSettled(
        ids.map((conversationId, shard) =>
          ownership.record({ shard, run: { conversationId, begin: { ...run, lane, round: 2 } } }),
        ),
      );

      const errors = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
      expect(errors).toMatchObject([{ code: "RUN_EXISTS" }, { code: "RUN_EXISTS" }]);
    }
  });

  test("one whose message has ended is not begun, nor opened again, by what is written late", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const lane = "task A-1";
    const ended = await begun(ownership, { lane });
    const status = { value: "failed", reason: null, at: 3000 } as const;
    const end = (id: number) => ({ shard: 0, message: aChange(id, { status: "done" }) });
    await ownership.record({ ...end(ended), run: { conversationId: ended, status } });
    const { conversationId: refused } = await accepted(ownership);
    await ownership.record(end(refused));

    for (const [id, round] of [[ended, 2] as const, [refused, 1] as const]) {
      const begin = { ...run, lane, round };
      const message = aChange(id, { status: "pending", attempts: 0 });
      const late = ownership.record({ shard: 0, message, run: { conversationId: id, begin } });
      await expect(late).rejects.toMatchObject({ code: "RUN_INVALID" });
    }
    expect(await store.runs.run(ended)).toMatchObject({ status: "failed", round: 1 });
    expect(await store.runs.run(refused)).toBeUndefined();
    await begun(ownership, { lane });
  });

  test("one whose worker names another lane by now is told who is in its own", async () => {
    const { own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership, { lane: "task a-1" });
    const stopped = { value: "stopped", reason: null, at: 3000 } as const;
    await ownership.record({ shard: 0, run: { conversationId: id, status: stopped } });
    const other = await begun(ownership, { lane: "task a-1" });

    const again = { ...run, lane: "task A-1", round: 2 };
    const goesOn = ownership.record({ shard: 0, run: { conversationId: id, begin: again } });
    await expect(goesOn).rejects.toThrow(`Run ${other} is at this already`);
  });
}

function testBeginningToWait(setUp: SetUp): void {
  test("an event that is told while one begins to wait for it is not lost", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const ids: number[] = [];
    for (let race = 0; race < RACES; race += 1) ids.push(await begun(ownership));
    await Promise.all(
      ids.flatMap((id) => {
        const event: NewDecision = { ...QUESTION, name: "ci", kind: "event", key: `ci ${id}` };
        return [waits(ownership, id, [event]), store.runs.signal(`ci ${id}`, { value: id, at: 4000 })];
      }),
    );
    expect(await taken(ownership)).toEqual(ids);
  });

  test("an event is told, and who begins to wait for it is stored again, without one waiting for the other", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const event: NewDecision = { ...QUESTION, name: "ci", kind: "event" };
    const races = await Promise.all(
      Array.from({ length: RACES / 3 }, async (_, race) => {
        const key = `ci ${race}`;
        const ids = [await begun(ownership), await begun(ownership)] as const;
        for (const id of ids) await waits(ownership, id, [{ ...event, key }]);
        return { key, ids };
      }),
    );
    await Promise.all(
      races.flatMap(({ key, ids }) => [
        ...ids.map((id) => waits(ownership, id, [{ ...event, key }])),
        store.runs.signal(key, { value: 1, at: 4000 }),
        ...ids.map((id) => waits(ownership, id, [{ ...event, key }])),
      ]),
    );
    expect(await taken(ownership)).toEqual(races.flatMap(({ ids }) => ids).sort((a, b) => a - b));
  });

  test("an answer that is given while one begins to wait again is not lost", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const ids: number[] = [];
    for (let race = 0; race < RACES; race += 1) {
      const id = await begun(ownership);
      await waits(ownership, id, [QUESTION, { ...QUESTION, name: "other" }]);
      await store.runs.answer(id, { name: "other", value: "x", by: "Ann", at: 4000 });
      await taken(ownership);
      await ownership.record({ shard: 0, message: aChange(id) });
      ids.push(id);
    }
    const answer = { name: "sure", value: "yes", by: "Ann", at: 5000 };
    await Promise.all(ids.flatMap((id) => [waits(ownership, id, [QUESTION]), store.runs.answer(id, answer)]));
    expect(await taken(ownership)).toEqual(ids);
  });

  test("one that is to be stopped while it begins to wait is handed to its owner", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    await ownership.record({ shard: 0, message: aChange(id) });
    expect(await store.requestStop(id, "Ann")).toBe(true);
    expect(await taken(ownership)).toEqual([id]);
    await waits(ownership, id, [QUESTION]);
    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId: id, stoppedBy: "Ann" }]);
  });
}

function testLateChanges(setUp: SetUp): void {
  test("what comes by a clock that is behind changes nothing of what it went on with", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    const event: NewDecision = { ...QUESTION, name: "ci", kind: "event", key: "ci", dueAt: 9000 };
    await waits(ownership, id, [{ ...QUESTION, dueAt: 9000 }, event]);
    expect(await ownership.wakeDue(9000)).toBe(1);
    const goesOn = { value: "open", reason: null, at: 9000 } as const;
    await ownership.record({ shard: 0, message: aChange(id), run: { conversationId: id, status: goesOn } });
    // Begun again by a process whose clock is behind.
    await ownership.record({
      shard: 0,
      message: aChange(id),
      run: { conversationId: id, status: { ...goesOn, at: 8000 } },
    });
    const { conversationId: said } = await accepted(ownership);
    const answers = { name: "sure", value: "yes", by: "Ann", at: 8500 };

    expect(await store.runs.answer(id, answers)).toBe(false);
    expect(await store.runs.signal("ci", { value: 1, at: 8500 })).toBe(0);
    const passedOn = { conversationId: said, userId: "U1", content: "yes", createdAt: 8500, answers };
    const passes = ownership.record({ shard: 0, run: { conversationId: id, passedOn } });
    await expect(passes).rejects.toMatchObject({ code: "RUN_INVALID" });
    expect(await store.runs.run(id)).toMatchObject({ updatedAt: 9000, decisions: [{ answer: null }, {}] });
  });

  test("what is written late of one that has ended leaves it ended, and its lane free", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership, { lane: "task A-1" });
    const status = { value: "done", reason: null, at: 9000 } as const;
    await ownership.record({
      shard: 0,
      message: aChange(id, { status: "done" }),
      run: { conversationId: id, status },
    });

    const begin = { ...run, lane: "task A-1" };
    await ownership.record({ shard: 0, run: { conversationId: id, begin } });
    await ownership.record({
      shard: 0,
      message: aChange(id),
      run: { conversationId: id, status: { ...status, value: "open", at: 3000 } },
    });
    await waits(ownership, id, [QUESTION]);
    expect(await store.runs.run(id)).toMatchObject({ status: "done", endedAt: 9000, round: 1 });
    await begun(ownership, { lane: "task A-1" });
  });

  test("one that waits is not called open by what is written late, nor its effect intended that was made", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership);
    const effect = { step: "clone", key: "k", at: 2500 } as const;
    for (const outcome of ["intended", "made", "intended"] as const)
      await ownership.record({ shard: 0, run: { conversationId: id, effect: { ...effect, outcome } } });
    await waits(ownership, id, [QUESTION]);
    const status = { value: "open", reason: null, at: 2000 } as const;
    await ownership.record({ shard: 0, message: aChange(id), run: { conversationId: id, status } });

    expect(await store.conversation(id)).toMatchObject({ status: "waiting" });
    expect(await store.runs.run(id)).toMatchObject({ status: "waiting", effects: [{ outcome: "made" }] });
  });
}

function testWithoutMessage(setUp: SetUp): void {
  test("one whose gateway nobody runs any more ends with its message, and its lane is free", async () => {
    const { store, own, openAnother } = await setUp();
    const first = await own(["a", "gone"]);
    const old = await begun(first, { gateway: "gone", createdAt: 1000, lane: "task A-1" });
    const fresh = await begun(first, { gateway: "gone", createdAt: 1000, lane: "task A-2" });
    const status = { value: "open", reason: null, at: 8000 } as const;
    await first.record({ shard: 0, run: { conversationId: fresh, status } });
    await first.release();
    const ownership = await (await openAnother()).own({ owner: "second", gateways: ["a"], now: 9000 });
    await ownership.expireUnregistered(5000);

    expect(await store.conversation(old)).toMatchObject({ status: "dead" });
    const reason = expect.stringContaining("No process ran its gateway");
    expect(await store.runs.run(old)).toMatchObject({ status: "dead", reason, endedAt: expect.any(Number) });
    // It has begun not long ago, however old the message is that asked for it.
    expect(await store.runs.run(fresh)).toMatchObject({ status: "open" });
    expect(await store.runs.reopen(old)).toBe(true);
    await begun(ownership, { lane: "task A-1" });
    await ownership.release();
  });

  test("one whose message is discarded ends with it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const id = await begun(ownership, { lane: "task A-1" });
    await ownership.record({ shard: 0, message: aChange(id, { status: "dead", lastError: "no luck" }) });
    const [letter] = await store.deadLetters({ limit: 1 });
    expect(letter && (await store.discardDeadLetter(letter))).toBe(true);

    expect(await store.runs.run(id)).toMatchObject({ status: "dead", reason: "no luck" });
    await begun(ownership, { lane: "task A-1" });
  });
}
