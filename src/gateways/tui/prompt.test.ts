import { describe, expect, test } from "vitest";
import type { CommandHelp } from "./completion.ts";
import { keysOf, type TerminalKey } from "./keys.ts";
import { createPrompt, type Key, type Prompt, type PromptEffect, press } from "./prompt.ts";

const command = (name: string, ...argumentNames: string[]): CommandHelp => ({
  command: name,
  usage: `${name} …`,
  description: `does ${name}`,
  argumentNames,
});
const COMMANDS = [
  command("/help"),
  command("/task create", "key", "summary"),
  command("/task list", "status"),
  command("/echo"),
];

const NO_KEY: TerminalKey = {
  upArrow: false,
  downArrow: false,
  leftArrow: false,
  rightArrow: false,
  home: false,
  end: false,
  return: false,
  escape: false,
  ctrl: false,
  shift: false,
  tab: false,
  backspace: false,
  delete: false,
  meta: false,
};
const typed = (text: string): Key[] => keysOf(text, NO_KEY);

/** Presses all keys, and tells what the line is then and what left it. */
function pressAll(keys: Key[], prompt: Prompt = createPrompt()) {
  const effects: PromptEffect[] = [];
  let now = prompt;
  for (const key of keys) {
    const pressed = press(now, key, COMMANDS);
    now = pressed.prompt;
    if (pressed.effect) effects.push(pressed.effect);
  }
  return { text: now.typed.text, cursor: now.typed.cursor, menu: now.menu, effects, prompt: now };
}

const UP: Key = { type: "up" };
const DOWN: Key = { type: "down" };
const TAB: Key = { type: "tab" };
const ENTER: Key = { type: "enter" };

describe("sending", () => {
  test("Enter sends the text and empties the line", () => {
    expect(pressAll([...typed("hello"), ENTER])).toMatchObject({
      text: "",
      effects: [{ type: "send", text: "hello" }],
    });
  });

  test("nothing but blanks is not sent", () => {
    expect(pressAll([...typed("  "), ENTER])).toMatchObject({ text: "", effects: [] });
  });

  test("keys that come in one chunk are keys all the same", () => {
    expect(pressAll(typed("one\rtwo\r")).effects).toEqual([
      { type: "send", text: "one" },
      { type: "send", text: "two" },
    ]);
  });

  test("Ctrl-J and Alt-Enter make a new line", () => {
    const keys = [
      ...typed("a"),
      ...keysOf("\n", NO_KEY),
      ...keysOf("\r", { ...NO_KEY, return: true, meta: true }),
      ...typed("b"),
    ];
    expect(pressAll(keys).text).toBe("a\n\nb");
  });

  test("a pasted text of many lines is one message", () => {
    const pasted: Key = { type: "paste", text: "one\r\n\ttwo\rthree\n\n" };
    expect(pressAll([pasted])).toMatchObject({ text: "one\n\ttwo\nthree", effects: [] });
    expect(pressAll([pasted, ENTER]).effects).toEqual([{ type: "send", text: "one\n\ttwo\nthree" }]);
  });
});

describe("history", () => {
  const prompt = createPrompt(["first", "second"]);

  test("up goes back, down comes forth to what was begun", () => {
    expect(pressAll([...typed("new"), UP, UP, UP], prompt).text).toBe("first");
    expect(pressAll([...typed("new"), UP, UP, DOWN, DOWN, DOWN], prompt).text).toBe("new");
  });

  test("what was sent is there, and a repetition once", () => {
    expect(pressAll([...typed("third\rthird\r"), UP, UP], prompt).text).toBe("second");
  });

  test("in a text of many lines up moves the cursor first", () => {
    expect(pressAll([{ type: "paste", text: "a\nb" }, UP], prompt)).toMatchObject({
      text: "a\nb",
      cursor: 1,
    });
    expect(pressAll([{ type: "paste", text: "a\nb" }, UP, UP], prompt).text).toBe("second");
  });
});

describe("completion", () => {
  test("Tab completes the only candidate", () => {
    expect(pressAll([...typed("/ec"), TAB])).toMatchObject({ text: "/echo ", menu: undefined });
  });

  test("of several candidates what they share, and a menu", () => {
    const { text, menu } = pressAll([...typed("/t"), TAB]);
    expect(text).toBe("/task");
    expect(menu?.completion.candidates.map(({ label }) => label)).toEqual(["/task create", "/task list"]);
  });

  test("the chosen candidate is taken by Enter, which sends nothing", () => {
    expect(pressAll([...typed("/t"), TAB, TAB, ENTER])).toMatchObject({ text: "/task list ", effects: [] });
    expect(pressAll([...typed("/t"), TAB, UP, ENTER]).text).toBe("/task list ");
  });

  test("Escape and typing close the menu", () => {
    expect(pressAll([...typed("/t"), TAB, { type: "escape" }])).toMatchObject({
      text: "/task",
      menu: undefined,
    });
    expect(pressAll([...typed("/t"), TAB, ...typed(" c")])).toMatchObject({
      text: "/task c",
      menu: undefined,
    });
  });

  test("argument names follow a command, without those that are given", () => {
    expect(pressAll([...typed("/task create k"), TAB]).text).toBe("/task create key=");
    expect(pressAll([...typed("/task create key=A-1 "), TAB]).text).toBe("/task create key=A-1 summary=");
  });

  test("in a sentence nothing is completed", () => {
    expect(pressAll([...typed("see /ec"), TAB])).toMatchObject({ text: "see /ec", menu: undefined });
  });
});

describe("the end", () => {
  test("Ctrl-D ends on an empty line, and deletes on any other", () => {
    const ctrlD = keysOf("d", { ...NO_KEY, ctrl: true });
    expect(pressAll(ctrlD).effects).toEqual([{ type: "end" }]);
    expect(pressAll([...typed("ab"), ...keysOf("a", { ...NO_KEY, ctrl: true }), ...ctrlD])).toMatchObject({
      text: "b",
      effects: [],
    });
  });

  test("Ctrl-C interrupts whatever is typed, as a key or within a chunk", () => {
    expect(pressAll([...typed("ab"), ...keysOf("c", { ...NO_KEY, ctrl: true })]).effects).toEqual([
      { type: "interrupt" },
    ]);
    expect(pressAll(typed("ab\u0003")).effects).toEqual([{ type: "interrupt" }]);
  });
});
