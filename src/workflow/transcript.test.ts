import { mkdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import {
  openTranscript,
  readTranscript,
  removeOldTranscripts,
  showEntry,
  type TranscriptOptions,
  transcriptFile,
} from "./transcript.ts";

const clock = { now: () => Date.UTC(2030, 0, 1, 12, 30) };

async function aTranscript(t: TestContext, options: Partial<TranscriptOptions> = {}) {
  const file = join(await temporaryFolder(t), "runs", "7", "transcript.jsonl");
  const open = () => openTranscript({ file, maxBytes: 1_000_000, secrets: [], clock, ...options });
  return { file, open };
}

test("what was written is read in its order, over several turns", async (t) => {
  const { file, open } = await aTranscript(t);
  const first = open();
  first.note("Turn 1");
  first.event({ type: "session", id: "s1", model: "m" });
  first.line('{"type":"init"}');
  await first.close();
  const second = open();
  second.event({ type: "edited", file: "a.ts" });
  await second.close();

  const entries = await readTranscript(file);

  expect(entries.map(({ at, ...entry }) => entry)).toEqual([
    { note: "Turn 1" },
    { event: { type: "session", id: "s1", model: "m" } },
    { line: '{"type":"init"}' },
    { event: { type: "edited", file: "a.ts" } },
  ]);
  expect(entries.flatMap((entry) => showEntry(entry) ?? [])).toEqual([
    "12:30:00 -- Turn 1",
    "12:30:00 session s1, m",
    "12:30:00 > edited a.ts",
  ]);
});

test("a secret stands in no part of it", async (t) => {
  const { file, open } = await aTranscript(t, { secrets: ['sk-"made-up"'] });
  const transcript = open();
  transcript.line(`key sk-"made-up"`);
  transcript.line(JSON.stringify({ text: 'it is sk-"made-up"' }));
  transcript.event({ type: "message", text: 'the key is sk-"made-up"' });
  await transcript.close();

  expect(await readFile(file, "utf8")).not.toContain("made-up");
  expect(await readTranscript(file)).toHaveLength(3);
});

test("of a long one the end is kept, within its limit, and it is said that the beginning is not", async (t) => {
  const maxBytes = 100_000;
  const { file, open } = await aTranscript(t, { maxBytes });
  const transcript = open();
  for (let index = 0; index < 10_000; index += 1) transcript.line(`line ${index} ${"x".repeat(100)}`);
  await transcript.close();

  const sizes = await Promise.all([file, `${file}.older`].map(async (name) => (await stat(name)).size));
  expect(sizes.reduce((total, size) => total + size, 0)).toBeLessThanOrEqual(maxBytes);
  const entries = await readTranscript(file);
  expect(entries.at(-1)?.line).toMatch(/^line 9999 /);
  expect(entries.some(({ note }) => note?.includes("maxTranscriptBytes (100000)"))).toBe(true);
});

test("a line that a crash has cut is passed over, and the next one is whole", async (t) => {
  const { file, open } = await aTranscript(t);
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, '{"at":1,"note":"whole"}\n{"at":2,"no');
  const transcript = open();
  transcript.note("after");
  await transcript.close();

  expect((await readTranscript(file)).map(({ note }) => note)).toEqual(["whole", "after"]);
});

test("a transcript that cannot be written is told once, and ends nothing", async (t) => {
  const errors: unknown[] = [];
  const { file, open } = await aTranscript(t, { onError: (error) => errors.push(error) });
  await mkdir(file, { recursive: true });
  const transcript = open();
  transcript.note("one");
  await transcript.close();
  transcript.note("two");
  await transcript.close();

  expect(errors).toHaveLength(1);
});

test("there is nothing to read where there is no transcript", async (t) => {
  const { file } = await aTranscript(t);

  expect(await readTranscript(file)).toEqual([]);
});

test("old transcripts are removed with what was put aside of them, young ones stay", async (t) => {
  const workDirectory = await temporaryFolder(t);
  const files = [1, 2].map((runId) => transcriptFile({ workDirectory, runId }));
  const [old = "", young = ""] = files;
  for (const file of [old, `${old}.older`, young]) {
    await mkdir(join(file, ".."), { recursive: true });
    await writeFile(file, "");
  }
  for (const file of [old, `${old}.older`]) await utimes(file, 1000, 1000);

  expect(await removeOldTranscripts({ workDirectory, before: 2_000_000 })).toBe(2);
  expect(await removeOldTranscripts({ workDirectory, before: 2_000_000 })).toBe(0);
  expect(await readTranscript(young)).toEqual([]);
  expect((await stat(young)).isFile()).toBe(true);
  expect(await removeOldTranscripts({ workDirectory: join(workDirectory, "none"), before: 1 })).toBe(0);
});
