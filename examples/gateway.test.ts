import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echoWorker, startTestLoop, type TestPlatform, testGateway } from "robson/testing";
import { expect, test } from "vitest";
import { folderChat } from "./gateway.ts";

/** A folder, and someone who drops files into it and reads the answers. */
async function createFolder(): Promise<TestPlatform & { folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "folder-chat-"));
  const [inbox, outbox] = [join(folder, "in"), join(folder, "out")];
  for (const each of [inbox, outbox]) await mkdir(each);
  return {
    folder,
    target: "folder",
    async write({ id, content }) {
      const written = join(folder, id);
      await writeFile(written, content);
      await utimes(written, 1_900_000_000, 1_900_000_000); // the same file, when it comes again
      await rename(written, join(inbox, id));
      await expect.poll(() => existsSync(join(inbox, id))).toBe(false);
    },
    async arrived() {
      const names = await readdir(outbox);
      const answer = async (name: string) => ({
        content: await readFile(join(outbox, name), "utf8"),
        deliveryId: name.split(".")[1],
      });
      return await Promise.all(names.map(answer));
    },
    close: () => rm(folder, { recursive: true }),
  };
}

test("a file that cannot be a message is put aside, and the next one is taken", async (t) => {
  const { folder, write, close } = await createFolder();
  t.onTestFinished(close);
  await writeFile(join(folder, "in", "a.txt"), "x".repeat(2000));
  const gateway = folderChat(folder);
  const { idle } = await startTestLoop(t, {
    gateways: [gateway],
    workers: [echoWorker],
    limits: { maxContentBytes: 1000 },
  });

  await write?.({ id: "b.txt", content: "/echo hello" });
  await idle();

  expect(await readdir(join(folder, "in"))).toEqual([".refused-a.txt"]);
  expect(await readdir(join(folder, "out"))).toEqual([expect.stringMatching(/^b\.txt\..*\.md$/)]);
});

testGateway(test, {
  createPlatform: createFolder,
  createGateway: ({ folder }) => folderChat(folder),
  troubles: [
    {
      name: "a folder that is gone",
      retry: "later",
      cause: ({ folder }) => rm(join(folder, "out"), { recursive: true }),
    },
    { name: "a name that is too long", retry: "never", delivery: { threadTs: "x".repeat(300) } },
  ],
  without: ["stalling"],
});
