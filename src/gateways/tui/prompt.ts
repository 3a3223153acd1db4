/**
 * What the keys do to the input line: edits, history, completion, and the three things that leave it: a message
 * to send, an interrupt, and the end. Pure: a state and a key in, a state and at most one effect out.
 */
import { type CommandHelp, type Completion, completionsAt, sharedInsert } from "./completion.ts";
import { createHistory, type History, recall, remember } from "./history.ts";
import {
  type Edit,
  type EditedText,
  EMPTY_TEXT,
  edit,
  isInFirstLine,
  isInLastLine,
  textOf,
} from "./line-editor.ts";

export interface Prompt {
  typed: EditedText;
  history: History;
  /** The open menu of candidates, and the one that is chosen. */
  menu?: { completion: Completion; chosen: number } | undefined;
}

export type Key =
  | { type: "edit"; edit: Edit }
  | { type: "up" | "down" | "tab" | "back-tab" | "enter" | "new-line" | "escape" | "interrupt" | "end" }
  | { type: "paste"; text: string };

export type PromptEffect = { type: "send"; text: string } | { type: "interrupt" } | { type: "end" };

export interface Pressed {
  prompt: Prompt;
  effect?: PromptEffect;
}

export function createPrompt(entries: readonly string[] = []): Prompt {
  return { typed: EMPTY_TEXT, history: createHistory(entries) };
}

/** What becomes of the input line when a key is pressed. */
export function press(prompt: Prompt, key: Key, commands: readonly CommandHelp[] = []): Pressed {
  const { typed, history, menu } = prompt;
  switch (key.type) {
    case "edit":
      return { prompt: { typed: edit(typed, key.edit), history } };
    case "paste":
      return { prompt: { typed: edit(typed, { type: "insert", text: pastedText(key.text) }), history } };
    case "new-line":
      return { prompt: { typed: edit(typed, { type: "insert", text: "\n" }), history } };
    case "up":
    case "down":
      return menu
        ? { prompt: choose(prompt, key.type === "up" ? -1 : 1) }
        : { prompt: upOrDown(prompt, key.type) };
    case "tab":
      return { prompt: menu ? choose(prompt, 1) : complete(prompt, commands) };
    case "back-tab":
      return { prompt: menu ? choose(prompt, -1) : prompt };
    case "escape":
      return { prompt: { typed, history } };
    case "interrupt":
      return { prompt: { typed, history }, effect: { type: "interrupt" } };
    case "end":
      if (typed.text === "") return { prompt, effect: { type: "end" } };
      return { prompt: { typed: edit(typed, { type: "delete-right" }), history } };
    case "enter":
      return menu ? { prompt: take(prompt) } : send(prompt);
  }
}

function send({ typed, history }: Prompt): Pressed {
  const text = typed.text.trim();
  if (text === "") return { prompt: { typed: EMPTY_TEXT, history } };
  return { prompt: { typed: EMPTY_TEXT, history: remember(history, text) }, effect: { type: "send", text } };
}

/** Within a text of many lines the cursor moves; beyond its ends it is the history. */
function upOrDown(prompt: Prompt, type: "up" | "down"): Prompt {
  const { typed, history } = prompt;
  const isAtEdge = type === "up" ? isInFirstLine(typed) : isInLastLine(typed);
  if (!isAtEdge) return { typed: edit(typed, { type }), history };
  const recalled = recall(history, { by: type === "up" ? -1 : 1, typed: typed.text });
  return recalled === undefined ? prompt : { typed: textOf(recalled.text), history: recalled.history };
}

/** One candidate is taken; of several what they share, and the menu opens. */
function complete(prompt: Prompt, commands: readonly CommandHelp[]): Prompt {
  const { typed, history } = prompt;
  const completion = completionsAt(typed, commands);
  const [first, ...others] = completion.candidates;
  if (first === undefined) return prompt;
  if (others.length === 0) return { typed: replaceFrom(typed, completion.from, first.insert), history };
  const shared = sharedInsert(completion.candidates);
  const isLonger = shared.length > typed.cursor - completion.from;
  return {
    typed: isLonger ? replaceFrom(typed, completion.from, shared.trimEnd()) : typed,
    history,
    menu: { completion, chosen: 0 },
  };
}

function choose(prompt: Prompt, by: -1 | 1): Prompt {
  const { menu } = prompt;
  if (menu === undefined) return prompt;
  const count = menu.completion.candidates.length;
  return { ...prompt, menu: { ...menu, chosen: (menu.chosen + by + count) % count } };
}

function take({ typed, history, menu }: Prompt): Prompt {
  const candidate = menu?.completion.candidates[menu.chosen];
  if (menu === undefined || candidate === undefined) return { typed, history };
  return { typed: replaceFrom(typed, menu.completion.from, candidate.insert), history };
}

function replaceFrom({ text, cursor }: EditedText, from: number, insert: string): EditedText {
  const rest = text.slice(cursor);
  // A blank that stands there already is not doubled.
  const inserted = insert.endsWith(" ") && rest.startsWith(" ") ? insert.slice(0, -1) : insert;
  return { text: text.slice(0, from) + inserted + rest, cursor: from + inserted.length };
}

/** A terminal sends the line ends of a pasted text as Enter. One at its very end would only be an empty line. */
function pastedText(text: string): string {
  return text.replace(/\r\n?/gu, "\n").replace(/\n+$/u, "");
}
