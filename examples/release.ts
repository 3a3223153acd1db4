/** Long work in ten lines: `/release v2` asks first, and makes its tag once, however often the process is killed. */
import { defineWorker, type Worker } from "robson";

/** What it does outside; here the tests play it. */
export interface Tags {
  find(version: string): Promise<string | undefined>;
  make(version: string, notes: string): Promise<string>;
}

export function release(tags: Tags): Worker {
  return defineWorker({
    name: "release",
    description: "Releases a version",
    example: "/release v2",
    command: "/release",
    run: { lane: () => "release", title: () => "a release" },
    async handle(_message, _args, { step, ask, effect, emit, text: version }) {
      const notes = await step("notes", async () => `What is new in ${version}`);
      const answer = await ask("sure", { text: `Release ${version}?`, choices: ["yes", "no"] });
      if (answer?.value !== "yes") return emit("failed", "Not released");
      const url = await effect("tag", () => ({
        key: version,
        find: () => tags.find(version),
        make: () => tags.make(version, notes),
      }));
      await emit("completed", `Released: ${url}`);
    },
  });
}
