import { existsSync } from "node:fs";
import { lstat, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { aRepository } from "./gates/repository.fixture.ts";
import { git } from "./git.ts";
import { removeCheckLeftovers, restoreFiles } from "./restore-files.ts";

const t = { onTestFinished };

test("what checks leave in a checkout goes, what they changed is put back, what is ignored stays", async () => {
  const repository = await aRepository(t, {
    ".gitignore": "node_modules/\n",
    "a.txt": "a\n",
    "gone.txt": "x\n",
  });
  const tree = await repository.stage({ "a.txt": "the agent's\n", "new.txt": "the agent's\n" });
  await repository.write({
    "a.txt": "a check's\n",
    "gone.txt": null,
    "coverage/report.html": "x",
    "node_modules/p/index.js": "x",
  });
  await git(["init", "--quiet", join(repository.checkout, "nested")], repository.inRepository);
  await git(["init", "--quiet"], {
    ...repository.inRepository,
    repository: join(repository.checkout, ".git"),
  });

  const { checkout, own, inRepository } = repository;
  await removeCheckLeftovers({ checkout, own, from: tree }, inRepository);

  const read = (path: string) => readFile(join(checkout, path), "utf8");
  expect(await read("a.txt")).toBe("the agent's\n");
  expect(await read("new.txt")).toBe("the agent's\n");
  expect(await read("gone.txt")).toBe("x\n");
  expect(existsSync(join(checkout, "coverage"))).toBe(false);
  expect(existsSync(join(checkout, "nested"))).toBe(false);
  expect(existsSync(join(checkout, "node_modules/p/index.js"))).toBe(true);
  expect(existsSync(join(checkout, ".git/HEAD"))).toBe(true);
  expect(await repository.stage()).toBe(tree);
});

test("nothing outside is touched when a check has put links in the place of folders", async () => {
  const outside = await temporaryFolder(t);
  await writeFile(join(outside, "a.txt"), "theirs\n");
  const repository = await aRepository(t, { "docs/a.txt": "ours\n" });
  const tree = await repository.stage({ "b.txt": "b\n" });
  const { checkout, own, inRepository } = repository;
  await rm(join(checkout, "docs"), { recursive: true });
  await symlink(outside, join(checkout, "docs"));
  await mkdir(join(checkout, "more"));
  await symlink(outside, join(checkout, "more/link"));

  await removeCheckLeftovers({ checkout, own, from: tree }, inRepository);

  expect(await readFile(join(outside, "a.txt"), "utf8")).toBe("theirs\n");
  expect((await lstat(join(checkout, "docs"))).isDirectory()).toBe(true);
  expect(await readFile(join(checkout, "docs/a.txt"), "utf8")).toBe("ours\n");
  expect(existsSync(join(checkout, "more"))).toBe(false);
});

test("only the paths that are asked for are restored, and only those that differ are told", async () => {
  const repository = await aRepository(t, { "a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n" });
  await repository.write({ "a.txt": "x\n", "b.txt": "x\n" });
  const { checkout, own, baseSha, inRepository } = repository;

  const restored = await restoreFiles({ checkout, own, from: baseSha }, ["a.txt", "c.txt"], inRepository);

  expect(restored).toEqual(["a.txt"]);
  expect(await readFile(join(checkout, "b.txt"), "utf8")).toBe("x\n");
});
