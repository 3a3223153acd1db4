import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openStore } from "../../src/store/open-store.ts";
import { aMessage } from "../../src/testing/builders.ts";
import { databaseKinds } from "../../src/testing/databases.ts";

const PROCESS = fileURLToPath(new URL("./poison-process.ts", import.meta.url));

async function runOnce(location: string): Promise<number | null> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", PROCESS, location], {
    stdio: "inherit",
  });
  const [code] = await once(child, "exit");
  return code as number | null;
}

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a message that ends the process becomes a dead letter, and takes no innocent one with it", {
    timeout: 120_000,
  }, async (t) => {
    const location = await create(t);
    const store = await openStore(location);
    t.onTestFinished(() => store.close());
    for (let index = 0; index < 40; index += 1) {
      const content = index === 20 ? "poison" : `innocent ${index}`;
      await store.insertUnowned(aMessage({ content, threadTs: `T${index}` }));
    }

    const codes: (number | null)[] = [];
    while (codes.at(-1) !== 0 && codes.length < 12) codes.push(await runOnce(location));

    // Five attempts, each the end of a process, and the run that gives it up.
    expect(codes).toEqual([null, null, null, null, null, 0]);
    const letters = await store.deadLetters({ limit: 99 });
    expect(letters).toHaveLength(1);
    expect(await store.conversation(letters[0]?.conversationId ?? 0)).toMatchObject({
      content: "poison",
      status: "dead",
    });
    const open = await (await store.sql()).read.selectFrom("inbox").select("status").execute();
    expect(open).toEqual([{ status: "dead" }]);
  });
});
