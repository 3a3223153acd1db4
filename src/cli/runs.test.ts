import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { aFolder, robsonHere as robson } from "./robson-process.fixture.ts";

const PLUGIN = `
export const plugin = {
  name: "asker",
  setup(host) {
    host.registerWorker({
      name: "ask", description: "d", example: "/ask", command: "/ask", run: { title: () => "A-1" },
      async handle(_message, _args, { ask, step, emit }) {
        await step("clone", async () => "kept");
        const answer = await ask("sure", { text: "Push it?", choices: ["yes", "no"] });
        if (answer.value === "no") return emit("failed", "Not pushed");
        await emit("completed", "It is " + answer.value);
      },
    });
  },
};`;

describe.each(databaseKinds)("on $name", ({ create }) => {
  /** Runs that an agent left behind: one that waits for an answer, and one that has failed. */
  async function recorded(location: string) {
    const store = await openStore(location);
    const ownership = await store.own({ owner: "a test", gateways: ["fake"], now: 0 });
    const change = { attempts: 0, interruptions: 0, nextAttemptAt: null, lastError: null };
    const begin = { worker: "long", version: 1, isDetached: true, lane: null, createdAt: 1000, round: 1 };
    const ids: number[] = [];
    for (const title of ["A-1", "A-2"]) {
      const at = { shard: 0, status: "claimed", attempts: 1 } as const;
      const { conversationId } = await ownership.accept(aMessage({ content: "/long" }), at);
      ids.push(conversationId);
      const step = { name: "clone", ordinal: 0, begunAt: 1000, attempts: 1, result: "1", endedAt: 4000 };
      await ownership.record({ shard: 0, run: { conversationId, begin: { ...begin, title }, step } });
    }
    const [waiting = 0, failed = 0] = ids;
    const question = {
      name: "sure",
      kind: "question",
      text: "Push it?",
      key: null,
      askedAt: 5000,
      dueAt: null,
    } as const;
    await ownership.record({
      shard: 0,
      message: { conversationId: waiting, status: "waiting", ...change },
      run: {
        conversationId: waiting,
        decisions: [{ ...question, choices: ["yes", "no"] }],
        status: { value: "waiting", reason: null, at: 5000 },
      },
    });
    await ownership.record({
      shard: 0,
      message: { conversationId: failed, status: "done", ...change },
      run: { conversationId: failed, status: { value: "failed", reason: "red checks", at: 6000 } },
    });
    await ownership.release();
    await store.close();
    return { waiting, failed };
  }

  test("runs are listed and shown, answered, stopped and retried without an agent", async (t) => {
    const location = await create(t);
    const { waiting, failed } = await recorded(location);
    const cwd = aFolder();
    const runs = (...args: string[]) => robson(cwd, "--db", location, "runs", ...args);

    const list = await runs("list");
    expect(list.stdout).toMatch(
      new RegExp(
        `^${waiting}  waiting  A-1 \\(long\\): waits for an answer to "Push it\\?" since .*: \`robson runs answer ${waiting} yes \\| no\`\\n$`,
      ),
    );
    expect((await runs("list", "--all")).stdout.split("\n")).toHaveLength(3);
    const show = await runs("show", String(failed));
    expect(show.stdout).toContain('  Step 1, "clone": done in 3 s\n');
    expect(show.stdout).toMatch(
      new RegExp(
        `  Now: failed .* red checks; \`robson runs retry ${failed}\` goes on after its 1 finished step\\n$`,
      ),
    );
    expect(await runs("show", String(failed), "--transcript")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("Cannot find a transcript of run"),
    });
    expect(JSON.parse((await runs("show", "--json", `run-${waiting}`)).stdout)).toMatchObject({
      decisions: [{ name: "sure" }],
      transcripts: [],
    });

    expect(await runs("answer", String(waiting), "perhaps")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("Write one of: yes, no"),
    });
    expect(await runs("answer", String(waiting), "YES")).toMatchObject({
      stdout: `Run ${waiting} has the answer, and goes on\n`,
      stderr: "No process runs the loop now; `robson agent` takes it up\n",
    });
    expect((await runs("answer", String(waiting), "no")).stderr).toContain("it has no question open");
    expect((await runs("list")).stdout).toMatch(
      /: waits for a process that runs the loop; `robson agent` takes it up\n$/,
    );
    expect((await runs("stop", String(waiting))).stdout).toContain("is being stopped; what is done is kept");
    expect((await runs("list")).stdout).toMatch(/: ends as stopped by .+ as soon as a process runs the loop/);
    expect((await runs("stop", String(failed))).stderr).toContain("it has ended (failed)");
    expect((await runs("retry", String(failed))).stdout).toBe(
      `Run ${failed} goes on after its 1 finished step\n`,
    );
    expect((await runs("retry", String(waiting))).stderr).toContain("it is open");
    expect(await runs("show", "99")).toMatchObject({ exitCode: 1, stdout: "" });
  }, 120_000);
});

test("a run asks in one command, is answered by the next, and goes on in it", async () => {
  const cwd = aFolder({ "robson.toml": '[[plugins]]\nuse = "./asker.mjs"\n', "asker.mjs": PLUGIN });
  const asked = await robson(cwd, "send", "--timeout", "600", "/ask");
  expect(asked).toMatchObject({ exitCode: 1, stdout: "" });
  expect(asked.stderr).toMatch(
    /Push it\?\n\nAnswer with `\/answer 1 yes \| no`, or in a message of this thread\n/,
  );
  expect(asked.stderr).toContain(
    "Run 1 waits for this answer, for as long as it takes: `robson runs answer 1 yes | no`\n`robson agent` then goes on with it\n",
  );
  const json = await robson(cwd, "send", "--json", "/ask");
  expect(JSON.parse(json.stdout.trim().split("\n").at(-1) ?? "")).toEqual({
    ...{ conversationId: 2, question: "sure", text: "Push it?", choices: ["yes", "no"] },
  });

  const answered = await robson(cwd, "send", "/answer 1 no");
  expect(answered.stdout).toContain("Run 1 has your answer, `no`, and goes on.");
  const why = await robson(cwd, "why", "1");
  expect(why.stdout).toContain('Run 1 of worker "ask", "A-1"');
  expect((await robson(cwd, "send", "/logs 1")).stdout).toContain('Step 1, "clone": done');
}, 180_000);

test("what an agent wrote is printed as it was said, or as it was kept", async () => {
  const cwd = aFolder({
    "robson.toml": 'workflow.work_dir = "work"\n[[plugins]]\nuse = "./asker.mjs"\n',
    "asker.mjs": PLUGIN,
  });
  await robson(cwd, "send", "/ask");
  mkdirSync(`${cwd}/work/transcripts`, { recursive: true });
  const entries = [
    { at: 0, note: "a turn begins" },
    { at: 1000, event: { type: "message", text: "I look at it" } },
  ];
  writeFileSync(
    `${cwd}/work/transcripts/1.jsonl`,
    entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""),
  );

  const shown = await robson(cwd, "runs", "show", "1", "--transcript");
  expect(shown.stdout).toBe("00:00:00 -- a turn begins\n00:00:01 I look at it\n");
  const json = await robson(cwd, "runs", "show", "1", "--transcript", "--json");
  expect(
    json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual(entries);
  expect((await robson(cwd, "runs", "show", "1")).stdout).toContain(
    `Transcript: ${cwd}/work/transcripts/1.jsonl`,
  );
}, 180_000);
