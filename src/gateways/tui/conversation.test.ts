import { expect, test } from "vitest";
import {
  type Conversation,
  type ConversationAction,
  converse,
  EMPTY_CONVERSATION,
  MAX_KEPT_ENTRIES,
  type ShownEvent,
} from "./conversation.ts";

const after = (...actions: ConversationAction[]): Conversation =>
  actions.reduce(converse, EMPTY_CONVERSATION);
const said = (key: string, text: string): ConversationAction[] => [
  { type: "said", key, text, at: 1000 },
  { type: "accepted", key, conversationId: Number(key) },
];
const event = (eventId: number, more: Partial<ShownEvent>, at = 1500): ConversationAction => ({
  type: "event",
  event: { eventId, conversationId: 1, kind: "completed", content: "done", ...more },
  at,
});

test("what was said is an entry at once, and runs until its answer", () => {
  const asked = after(...said("1", "/echo"));
  expect(asked.finished).toEqual([{ kind: "said", text: "/echo" }]);
  expect(asked.running).toMatchObject([{ question: "/echo", conversationId: 1 }]);

  const answered = converse(asked, event(1, {}));
  expect(answered.finished.at(-1)).toEqual({ kind: "answer", text: "done" });
  expect(answered.running).toEqual([]);
});

test("progress changes the line of its message, and makes no entry", () => {
  const state = after(
    ...said("1", "/run"),
    event(1, { kind: "started", content: "working" }),
    event(2, { kind: "progress", content: "half" }),
  );
  expect(state.running).toMatchObject([{ progress: "half" }]);
  expect(state.finished).toHaveLength(1);
});

test("an event that comes twice is shown once", () => {
  const state = after(...said("1", "/echo"), event(7, {}), event(7, {}));
  expect(state.finished.filter(({ kind }) => kind === "answer")).toHaveLength(1);
});

test("an answer names its question when that does not stand right above it", () => {
  const state = after(
    ...said("1", "/slow"),
    ...said("2", "/fast"),
    event(1, { conversationId: 2 }),
    event(2, {}, 9000),
  );
  expect(state.finished.slice(2)).toEqual([
    { kind: "answer", text: "done" },
    { kind: "answer", text: "done", about: "/slow", elapsedMs: 8000 },
  ]);
});

test("a warning between question and answer makes the answer name its question", () => {
  const state = after(...said("1", "/echo"), { type: "warning", text: "hm" }, event(1, {}));
  expect(state.finished.at(-1)).toMatchObject({ about: "/echo" });
});

test("a failure is told as one", () => {
  expect(after(...said("1", "/x"), event(1, { kind: "failed", content: "no" })).finished.at(-1)).toEqual({
    kind: "failed",
    text: "no",
  });
});

test("a line that was not taken ends with why", () => {
  const state = after(
    { type: "said", key: "1", text: "/x", at: 0 },
    { type: "refused", key: "1", text: "too long" },
  );
  expect(state.running).toEqual([]);
  expect(state.finished.at(-1)).toEqual({ kind: "failed", text: "too long" });
});

test("answers to an earlier session are shown, and say so", () => {
  expect(after(event(1, { conversationId: 9 })).finished).toEqual([
    { kind: "answer", text: "done", about: "message 9" },
  ]);
});

test("a message that ends without a word leaves the block of running work", () => {
  expect(after(...said("1", "/x"), { type: "ended", conversationId: 1 }).running).toEqual([]);
});

test("of a long conversation the texts of the newest entries are kept, and each has its place", () => {
  let state = EMPTY_CONVERSATION;
  for (let index = 0; index < 4 * MAX_KEPT_ENTRIES; index += 1) {
    state = converse(state, { type: "notice", text: `entry ${index}` });
  }
  expect(state.finished).toHaveLength(4 * MAX_KEPT_ENTRIES);
  expect(state.finished.filter(({ text }) => text !== "")).toHaveLength(MAX_KEPT_ENTRIES);
  expect(state.finished.at(-1)?.text).toBe(`entry ${4 * MAX_KEPT_ENTRIES - 1}`);
});
