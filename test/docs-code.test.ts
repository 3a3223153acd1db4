/**
 * That the TypeScript which the documents show compiles as it stands, against the sources as `robson`. The blocks of a page lie
 * in one folder: what a block is saved as stands in its info string (```ts as=build-lamp.ts, or the name of its file=), so that
 * the next one can import it.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { createFolder, removeFolder } from "../src/testing/temporary-folder.ts";

const root = join(import.meta.dirname, "..");
const pages = globSync(["*.md", "docs/**/*.md"], { cwd: root })
  .sort()
  .map((page) => ({ page, text: readFileSync(join(root, page), "utf8") }));

/** A page whose first block is wrong, and whose second one imports what the first one does not have. */
const WRONG = [
  "# Page",
  "```ts as=worker.ts",
  'import { defineWorker } from "robson";',
  'defineWorker({ name: "w", descripton: "" });',
  "```",
  "",
  "```ts",
  'import { worker } from "./worker.ts";',
  "worker.run();",
  "```",
];

let errors: string[];

beforeAll(async () => {
  errors = await compile([...pages, { page: "wrong.md", text: `${WRONG.join("\n")}\n` }].flatMap(blocksOf));
});

test("the TypeScript of the documents compiles", () => {
  expect(errors.filter((line) => !line.startsWith("wrong.md/"))).toEqual([]);
  expect(pages.flatMap(blocksOf).length).toBeGreaterThan(9);
});

test("a block that does not compile is named by its page and line", () => {
  expect(errors.filter((line) => line.startsWith("wrong.md/"))).toEqual([
    expect.stringMatching(/^wrong\.md\/line-7\.ts\(8,10\): error TS2305: .*no exported member 'worker'/),
    expect.stringMatching(/^wrong\.md\/worker\.ts\(4,27\): error TS2769: .*'descripton' does not exist/s),
  ]);
});

test.each(pages)("$page shows no program that is not looked at", ({ text }) => {
  const fences = text.match(/^ *```\w.*$/gm) ?? [];
  const others = fences.filter((fence) =>
    /^ *```(ts|mts|cts|typescript|jsx?|mjs|cjs|tsx|javascript)\b/i.test(fence),
  );

  expect(others.filter((fence) => !FENCE.test(fence))).toEqual([]);
});

const FENCE = /^```ts(?: (?:as|file)=\S+)?$/;

interface Block {
  /** Where it is saved, from the folder of all pages on. */
  file: string;
  code: string;
}

/** Each with as many lines before it as on its page, so that the compiler names the page's line. */
function blocksOf({ page, text }: (typeof pages)[number]): Block[] {
  return [...text.matchAll(/^```ts(?: (?:as|file)=(\S+))?\n([\s\S]*?)^```$/gm)].map((found) => {
    const [, name, code = ""] = found;
    const line = text.slice(0, found.index).split("\n").length;
    const file = name === undefined ? `line-${line}.ts` : basename(name);
    return { file: join(page, file), code: "\n".repeat(line) + code };
  });
}

/** What the compiler says, an error a line. */
async function compile(blocks: Block[]): Promise<string[]> {
  const folder = await createFolder();
  try {
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    for (const { file, code } of blocks) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), code);
    }
    const source = (file: string) => [join(root, "src", file)];
    const paths = { robson: source("index.ts"), "robson/testing": source("testing/index.ts") };
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: { paths },
      include: ["**/*.ts"],
      exclude: ["node_modules"],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    const { stdout, stderr } = spawnSync(join(root, "node_modules/.bin/tsc"), [], {
      cwd: folder,
      encoding: "utf8",
    });
    return [...stdout.split(/\n(?! )/), stderr].filter((line) => line !== "");
  } finally {
    await removeFolder(folder);
  }
}
