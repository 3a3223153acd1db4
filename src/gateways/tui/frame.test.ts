import { expect, test } from "vitest";
import { completionsAt } from "./completion.ts";
import { entryRows } from "./entry-view.ts";
import { type FrameState, frameOf } from "./frame.ts";
import { textOf } from "./line-editor.ts";
import { createPrompt, type Prompt } from "./prompt.ts";
import { columnsOf, plainText } from "./styled.ts";

const prompt = (text: string, cursor = text.length): Prompt => ({
  ...createPrompt(),
  typed: { text, cursor },
});
const frame = (state: Partial<FrameState>) => {
  const { rows, cursor } = frameOf({
    running: [],
    prompt: createPrompt(),
    size: { columns: 40, rows: 24 },
    now: 65_000,
    tick: 0,
    ...state,
  });
  return { rows: rows.map(plainText), cursor, widest: Math.max(0, ...rows.map(columnsOf)) };
};
const work = (question: string, progress?: string) => ({
  key: question,
  question,
  startedAt: 0,
  ...(progress !== undefined && { progress }),
});

test("an empty line says what can be typed", () => {
  expect(frame({})).toMatchObject({ rows: ["› Type a message, or /help"], cursor: { x: 2, y: 0 } });
});

test("running work is one line each, in the width of the screen", () => {
  const { rows, cursor, widest } = frame({
    running: [work("/run-task DEMO-1", "**Cloned** the repository of the team, all of it"), work("/echo hi")],
  });
  expect(rows).toEqual([
    "⠋ /run-task DE… · Cloned the… 1 min 5 s",
    "⠋ /echo hi 1 min 5 s",
    "› Type a message, or /help",
  ]);
  expect(cursor).toEqual({ x: 2, y: 2 });
  expect(widest).toBeLessThanOrEqual(40);
});

test("of much running work the rest is counted", () => {
  const { rows } = frame({ running: Array.from({ length: 9 }, (_, index) => work(`/w ${index}`)) });
  expect(rows).toHaveLength(6);
  expect(rows[4]).toBe("  and 5 more under way");
});

test("a long line is broken, and the cursor stands in it by columns", () => {
  const { rows, cursor } = frame({ prompt: prompt("漢字".repeat(12)) });
  expect(rows).toEqual([`› ${"漢字".repeat(9)}`, `  ${"漢字".repeat(3)}`]);
  expect(cursor).toEqual({ x: 14, y: 1 });
});

test("the cursor behind a full row stands within the screen", () => {
  const { cursor } = frame({ prompt: prompt("a".repeat(37)) });
  expect(cursor?.x).toBeLessThan(40);
});

test("many lines are a block around the cursor, and the rest is counted", () => {
  const text = Array.from({ length: 100 }, (_, index) => `line ${index}`).join("\n");
  const atEnd = frame({ prompt: prompt(text) });
  expect(atEnd.rows).toHaveLength(9);
  expect([atEnd.rows[0], atEnd.rows.at(-1)]).toEqual(["  … 92 lines above", "  line 99"]);
  expect(atEnd.cursor).toEqual({ x: 9, y: 8 });

  const atStart = frame({ prompt: prompt(text, 0) });
  expect([atStart.rows[0], atStart.rows.at(-1)]).toEqual(["› line 0", "  … 92 lines below"]);
  expect(atStart.cursor).toEqual({ x: 2, y: 0 });
});

test("a frame is never as high as the screen", () => {
  const text = Array.from({ length: 100 }, (_, index) => `line ${index}`).join("\n");
  const running = Array.from({ length: 9 }, (_, index) => work(`/w ${index}`));
  for (const rows of [10, 14, 24, 50]) {
    expect(frame({ prompt: prompt(text), running, size: { columns: 40, rows } }).rows.length).toBeLessThan(
      rows,
    );
  }
});

test("a megabyte in the line is laid out soon", () => {
  const startedAt = performance.now();
  frame({ prompt: prompt("漢字 and words ".repeat(80_000)) });
  frame({ prompt: prompt("a line\n".repeat(150_000)) });
  expect(performance.now() - startedAt).toBeLessThan(3000);
});

test("the menu shows what Tab found, with the chosen one marked", () => {
  const commands = ["/task create", "/task list"].map((command) => ({
    command,
    usage: command,
    description: "does a lot of things that do not fit",
    argumentNames: [],
  }));
  const completion = completionsAt(textOf("/t"), commands);
  expect(frame({ prompt: { ...prompt("/t"), menu: { completion, chosen: 1 } } }).rows).toEqual([
    "› /t",
    "  /task create  does a lot of things t…",
    "▸ /task list    does a lot of things t…",
  ]);
});

test("once nothing can be typed, only the work and the state are shown", () => {
  expect(frame({ prompt: undefined, status: "Stopping" })).toMatchObject({
    rows: ["Stopping"],
    cursor: undefined,
  });
});

test("the state of things is told in full on a narrow screen", () => {
  const status = "Stopping; work under way has 3 s to end. Ctrl-C again ends at once.";
  expect(frame({ status }).rows).toEqual([
    "Stopping; work under way has 3 s to",
    "end. Ctrl-C again ends at once.",
    "› Type a message, or /help",
  ]);
  expect(frame({ status: "word ".repeat(100) }).rows).toHaveLength(4);
});

test("a pasted text stands in the conversation by its beginning", () => {
  const text = Array.from({ length: 40 }, (_, index) => `line ${index}`).join("\n");
  const rows = entryRows({ kind: "said", text }, { width: 40 }).map(plainText);
  expect(rows).toHaveLength(13);
  expect([rows[0], rows[1], rows.at(-1)]).toEqual(["› line 0", "  line 1", "  … 28 more lines"]);
});
