import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { readFileDiffs } from "./added-lines.ts";
import { aRepository } from "./repository.fixture.ts";

const t = { onTestFinished };

test("a change is read with modes, sizes, kinds and the lines that it adds", async () => {
  const repository = await aRepository(t, {
    "a.txt": "one\ntwo\nthree\n",
    "gone.txt": "x\ny\n",
    "b.txt": "b\n",
  });

  const { files } = await repository.change({
    "a.txt": "one\n2\nthree\nfour",
    "gone.txt": null,
    "new dir/ü 'x'.txt": "new\n",
    "run.sh": { run: "#!/bin/sh\n" },
  });

  expect(files).toEqual([
    expect.objectContaining({
      path: "a.txt",
      kind: "changed",
      mode: "100644",
      bytes: 16,
      addedLines: 2,
      removedLines: 1,
      added: [
        { line: 2, text: "2" },
        { line: 4, text: "four" },
      ],
    }),
    expect.objectContaining({
      path: "gone.txt",
      kind: "deleted",
      mode: "000000",
      removedLines: 2,
      added: [],
    }),
    expect.objectContaining({
      path: "new dir/ü 'x'.txt",
      kind: "added",
      isBinary: false,
      isRead: true,
      added: [{ line: 1, text: "new" }],
    }),
    expect.objectContaining({ path: "run.sh", oldMode: "000000", mode: "100755" }),
  ]);
});

test("a link is read with its target, a submodule with its commit, and a change of kind as both", async () => {
  const repository = await aRepository(t, { "was-file": "text\n", "was-link": { link: "there" } });
  const commit = "1".repeat(40);

  const { files } = await repository.change({
    "was-file": { link: "/etc/passwd" },
    "was-link": "text now\n",
    sub: { commit },
  });

  expect(files.map(({ path, mode, added }) => [path, mode, added.map(({ text }) => text)])).toEqual([
    ["sub", "160000", [`Subproject commit ${commit}`]],
    ["was-file", "120000", ["/etc/passwd"]],
    ["was-link", "100644", ["text now"]],
  ]);
});

test("a file in a folder's place and a folder in a file's place are read as what they are now", async () => {
  const repository = await aRepository(t, { "a/b": "old\n", c: "old\n" });

  const { files } = await repository.change({ a: "file\n", c: null, "c/d": "in folder\n" });

  expect(files.map(({ path, kind, added }) => [path, kind, added.map(({ text }) => text)])).toEqual([
    ["a", "added", ["file"]],
    ["a/b", "deleted", []],
    ["c", "deleted", []],
    ["c/d", "added", ["in folder"]],
  ]);
});

test("attributes that call a text binary do not hide it, and bytes that are no text are called binary", async () => {
  const repository = await aRepository(t, { ".gitattributes": "*.txt binary\n" });

  const { files } = await repository.change({
    "a.txt": "to be read\n",
    "zero.dat": "a\0b",
    "image.png": Buffer.from(Array.from({ length: 400 }, (_, index) => (index * 7919) % 256)),
    "latin.txt": Buffer.from("Grüße aus Köln, ein Text in einer alten Kodierung", "latin1"),
  });

  expect(files.map(({ path, isBinary }) => [path, isBinary])).toEqual([
    ["a.txt", false],
    ["image.png", true],
    ["latin.txt", false],
    ["zero.dat", true],
  ]);
  expect(files[0]?.added[0]?.text).toBe("to be read");
});

test("paths with signs that mean something to git or a shell are paths", async () => {
  const repository = await aRepository(t);
  const names = [":(top)x", "*", "-rf", "a\nb", 'a"b', "$(id)", "[x]"];

  const { files } = await repository.change(Object.fromEntries(names.map((name) => [name, `of ${name}`])));

  expect(Object.fromEntries(files.map(({ path, added }) => [path, added[0]?.text.split("\n")[0]]))).toEqual(
    Object.fromEntries(names.map((name) => [name, `of ${name}`.split("\n")[0]])),
  );
});

test("a file that is too large to be read says so, and the others are read", async () => {
  const repository = await aRepository(t);

  const { files } = await repository.change({ "large.txt": "x".repeat(7_000_000), "small.txt": "y" });

  expect(files.map(({ path, bytes, isRead, added }) => [path, bytes, isRead, added.length])).toEqual([
    ["large.txt", 7_000_000, false, 0],
    ["small.txt", 1, true, 1],
  ]);
});

test("a file whose diff is too large to be printed is not read, and those beside it are", async () => {
  const lines = (even: string) =>
    Array.from({ length: 900_000 }, (_, index) => (index % 2 ? "" : even)).join("\n");
  const repository = await aRepository(t, { "a.txt": lines("a"), "b.txt": "b\n" });

  const { files } = await repository.change({ "a.txt": lines("b"), "b.txt": "c\n" });

  expect(files.map(({ path, isRead }) => [path, isRead])).toEqual([
    ["a.txt", false],
    ["b.txt", true],
  ]);
});

test("many files are read in several calls, each with its own lines", async () => {
  const repository = await aRepository(t, { f250: "old\n" });
  const names = Array.from({ length: 450 }, (_, index) => `f${index}`);

  const { files } = await repository.change(Object.fromEntries(names.map((name) => [name, `${name}\n`])));

  expect(files).toHaveLength(450);
  expect(files.every(({ path, added }) => added[0]?.text === path)).toBe(true);
});

test("lines that look like a diff's own headers are lines", async () => {
  const line = fc.constantFrom(
    "diff --git a/x b/x",
    "@@ -0,0 +1,9 @@",
    "+++ b/x",
    "--- a/x",
    "\\ No newline",
    "",
    "x",
  );
  await fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 8 }),
      fc.array(line, { minLength: 1 }),
      (one, two) => {
        const diffOf = (name: string, lines: string[]) =>
          [
            `diff --git a/${name} b/${name}`,
            "--- /dev/null",
            `+++ b/${name}`,
            `@@ -0,0 +1,${lines.length} @@`,
            ...lines.map((each) => `+${each}`),
          ].join("\n");

        const [first, second, ...rest] = readFileDiffs(`${diffOf("one", one)}\n${diffOf("two", two)}\n`);

        expect(rest).toEqual([]);
        expect(first?.added).toEqual([{ line: 1, text: one.join("\n") }]);
        expect(second?.added).toEqual([{ line: 1, text: two.join("\n") }]);
      },
    ),
  );
});
