/** The suite's part about stopping: that someone wants an open message ended is stored until it has ended. */
import { expect, test } from "vitest";
import { begun, QUESTION, waits } from "./begun-runs.ts";
import { expectWake } from "./ownership.ts";
import { aChange, accepted, openWork, type SetUp } from "./set-up.ts";

export function testStops(setUp: SetUp): void {
  test("that a message is to be stopped wakes its owner, which takes it once and finds it among the open ones", async () => {
    const { own, openAnother } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    await ownership.record({ shard: 0, message: aChange(conversationId) });
    const other = await openAnother();
    expect(await ownership.stopRequests(10)).toEqual([]);

    expect(await expectWake(ownership, () => other.requestStop(conversationId, "Ann"))).toBe(true);

    const stopped = { conversationId, status: "claimed", attempts: 1, stoppedBy: "Ann" };
    expect(await ownership.stopRequests(10)).toEqual([{ conversationId, by: "Ann" }]);
    expect(await ownership.takeUnowned(10)).toMatchObject([stopped]);
    expect(await ownership.takeUnowned(10)).toEqual([]);
    expect(await ownership.stopRequests(10)).toEqual([]);
    expect((await openWork(ownership)).messages).toMatchObject([stopped]);
    expect(await other.conversation(conversationId)).toMatchObject(stopped);
  });

  test("a write of the owner meanwhile does not hide it, and the message's end ends it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    await store.requestStop(conversationId, "Ann");

    const retry = aChange(conversationId, { status: "pending", nextAttemptAt: 5000 });
    await ownership.record({ shard: 0, message: retry });
    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId, stoppedBy: "Ann" }]);
    await ownership.record({ shard: 0, message: aChange(conversationId, { status: "done" }) });

    expect(await store.conversation(conversationId)).toMatchObject({ status: "done", stoppedBy: null });
    expect(await store.requestStop(conversationId, "Ann")).toBe(false);
  });

  test("what has ended, is a dead letter or is not there cannot be stopped, and a retried letter runs", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const { conversationId } = await accepted(ownership);
    await store.requestStop(conversationId, "Ann");
    const dead = { status: "dead", lastError: "no luck" } as const;
    await ownership.record({ shard: 0, message: aChange(conversationId, dead) });

    expect(await store.requestStop(conversationId, "Bob")).toBe(false);
    expect(await store.requestStop(4711, "Bob")).toBe(false);
    expect(await ownership.takeUnowned(10)).toEqual([]);
    const letter = { conversationId, gateway: "a", attempts: 1, lastError: "no luck", createdAt: 0 };
    expect(await store.retryDeadLetter(letter)).toBe(true);

    expect(await ownership.takeUnowned(10)).toMatchObject([{ conversationId, stoppedBy: null }]);
  });

  test("a run that waits can be stopped, which is told of it, and its owner takes it to end it", async () => {
    const { store, own } = await setUp();
    const ownership = await own();
    const conversationId = await begun(ownership);
    await waits(ownership, conversationId, [QUESTION]);

    expect(await store.requestStop(conversationId, "Ann")).toBe(true);

    const stopped = [{ conversationId, stoppedBy: "Ann" }];
    expect(await store.runs.runs({ isOpen: true })).toMatchObject(stopped);
    expect(await ownership.takeUnowned(10)).toMatchObject(stopped);
    const status = { value: "stopped", reason: "Stopped by Ann", at: 4000 } as const;
    const message = aChange(conversationId, { status: "done" });
    await ownership.record({ shard: 0, message, run: { conversationId, status } });
    expect(await store.runs.run(conversationId)).toMatchObject({ status: "stopped", stoppedBy: null });
  });
}
