/** The suite's part about what is passed on to a run, and read by it. */
import { expect, test } from "vitest";
import { begun, ends, QUESTION, waits } from "./begun-runs.ts";
import { aChange, accepted, type SetUp } from "./set-up.ts";

export function testNotes(setUp: SetUp): void {
  const note = { conversationId: 77, userId: "U2", content: "use blue", createdAt: 4500 };

  test("a note is kept once until it is read, and none is taken by a run that has ended", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await ownership.record({ shard: 0, run: { conversationId, passedOn: note } });
    const second = { ...note, conversationId: 78 };
    const change = { shard: 0, run: { conversationId, passedOn: second } };
    await ownership.record(change);
    await ownership.record(change);
    await ownership.record({ shard: 0, run: { conversationId, notesTaken: [77] } });

    expect(await store.runs.run(conversationId)).toMatchObject({
      notes: [
        { ...note, takenAt: expect.any(Number) },
        { ...second, takenAt: null },
      ],
    });
    await ends(ownership, conversationId);
    const late = { shard: 0, run: { conversationId, passedOn: { ...note, conversationId: 79 } } };
    await expect(ownership.record(late)).rejects.toMatchObject({ code: "RUN_INVALID" });
    // What was stored before is known, also when the write is repeated.
    await ownership.record(change);
  });

  test("notes are read in the order of their messages, in whichever they were passed on", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    for (const id of [78, 77, 79])
      await ownership.record({
        shard: 0,
        run: { conversationId, passedOn: { ...note, conversationId: id } },
      });

    const { notes = [] } = (await store.runs.run(conversationId)) ?? {};
    expect(notes.map((each) => each.conversationId)).toEqual([77, 78, 79]);
  });

  test("an answer is stored with the end of the message that gave it, once, and has the run go on", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await waits(ownership, conversationId, [QUESTION]);
    const { conversationId: said } = await accepted(ownership);
    const answers = { name: "sure", value: "yes", by: "U2", at: 5000 };
    const passedOn = { ...note, conversationId: said, answers };
    const change = {
      shard: 0,
      message: aChange(said, { status: "done" }),
      run: { conversationId, passedOn },
    };
    await ownership.record(change);
    await ownership.record(change);

    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId, status: "pending" }]);
    expect(await store.conversation(said)).toMatchObject({ status: "done" });
    expect(await store.runs.run(conversationId)).toMatchObject({
      decisions: [{ answer: '"yes"', answeredBy: "U2" }],
      notes: [{ conversationId: said, takenAt: expect.any(Number) }],
    });
    const { conversationId: late } = await accepted(ownership);
    const again = {
      message: aChange(late, { status: "done" }),
      run: { conversationId, passedOn: { ...passedOn, conversationId: late } },
    };
    await expect(ownership.record({ shard: 0, ...again })).rejects.toMatchObject({ code: "RUN_INVALID" });
    expect(await store.conversation(late)).toMatchObject({ status: "pending" });
  });
}
