import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { aFolder, robson } from "./robson-process.fixture.ts";

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("dead letters are listed, explained, and many are retried or discarded at once", async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    t.onTestFinished(() => store.close());
    const ownership = await store.own({ owner: "a test", gateways: ["fake"], now: 0 });
    for (const content of ["one", "two", "three"]) {
      const { conversationId } = await ownership.accept(aMessage({ content, createdAt: Date.now() }), {
        ...{ shard: 0, status: "claimed", attempts: 1 },
      });
      const message = { conversationId, status: "dead", attempts: 1, interruptions: 0 } as const;
      await ownership.record({ shard: 0, message: { ...message, nextAttemptAt: null, lastError: "boom" } });
    }
    await ownership.release();
    const cwd = aFolder();
    const letters = (...args: string[]) => robson(cwd, "--db", location, "dead-letters", ...args);

    expect((await letters("list")).stdout).toMatch(/^message-1 .*: boom\nmessage-2 .*\nmessage-3 .*\n$/);
    expect((await letters("list", "--older-than", "2h")).stdout).toBe("");
    expect((await letters("show", "message-2")).stdout).toContain("Now: a dead letter");
    expect(await letters("discard", "message-1", "message-9")).toMatchObject({ stdout: "", exitCode: 1 });
    expect((await letters("discard", "message-1")).stdout).toBe("1 dead letter discarded\n");
    expect((await letters("retry", "--gateway", "fake")).stdout).toBe("2 dead letters retried\n");
    expect((await letters("retry", "--all")).stdout).toBe("0 dead letters retried\n");
    expect((await letters("retry")).exitCode).toBe(2);
    expect(
      (await robson(cwd, "--db", location, "conversations", "list", "--status", "pending")).stdout,
    ).toMatch(/"three"\n.*"two"\n$/);
    const shown = await robson(cwd, "--db", location, "conversations", "show", "2");
    expect(shown.stdout).toMatch(/^Message 2 \(pending\), .* in fake C1\ntwo\n$/);
    expect((await robson(cwd, "--db", location, "gateways", "status")).stdout).toContain("open: 2 messages");
  }, 180_000);
});
