/**
 * What a terminal sends for a key, as ink has parsed it, to what it means here. One chunk of input may hold many
 * keys, when someone types faster than we read or a script does it.
 */
import type { Edit } from "./line-editor.ts";
import type { Key } from "./prompt.ts";

/** The part of ink's key that is looked at. */
export interface TerminalKey {
  upArrow: boolean;
  downArrow: boolean;
  leftArrow: boolean;
  rightArrow: boolean;
  home: boolean;
  end: boolean;
  return: boolean;
  escape: boolean;
  ctrl: boolean;
  shift: boolean;
  tab: boolean;
  backspace: boolean;
  delete: boolean;
  meta: boolean;
  eventType?: "press" | "repeat" | "release";
}

/** The keys in one piece of input, in their order. */
export function keysOf(input: string, key: TerminalKey): Key[] {
  if (key.eventType === "release") return [];
  const named = namedKey(key);
  if (named !== undefined) return [named];
  if (key.ctrl) return knownKey(CTRL_KEYS[input.toLowerCase()]);
  if (key.meta) return knownKey(META_KEYS[input.toLowerCase()]);
  return textKeys(input);
}

const editKey = (type: Exclude<Edit["type"], "insert">): Key => ({ type: "edit", edit: { type } });

const CTRL_KEYS: Readonly<Record<string, Key>> = {
  a: editKey("line-start"),
  b: editKey("left"),
  c: { type: "interrupt" },
  d: { type: "end" },
  e: editKey("line-end"),
  f: editKey("right"),
  h: editKey("delete-left"),
  j: { type: "new-line" },
  k: editKey("delete-to-line-end"),
  n: { type: "down" },
  p: { type: "up" },
  u: editKey("delete-to-line-start"),
  w: editKey("delete-word-left"),
};

const META_KEYS: Readonly<Record<string, Key>> = {
  b: editKey("word-left"),
  d: editKey("delete-word-right"),
  f: editKey("word-right"),
};

function namedKey(key: TerminalKey): Key | undefined {
  const isByWord = key.ctrl || key.meta;
  if (key.return) return { type: key.meta || key.shift || key.ctrl ? "new-line" : "enter" };
  if (key.upArrow) return { type: "up" };
  if (key.downArrow) return { type: "down" };
  if (key.leftArrow) return editKey(isByWord ? "word-left" : "left");
  if (key.rightArrow) return editKey(isByWord ? "word-right" : "right");
  if (key.home) return editKey("line-start");
  if (key.end) return editKey("line-end");
  if (key.tab) return { type: key.shift ? "back-tab" : "tab" };
  if (key.backspace) return editKey(isByWord ? "delete-word-left" : "delete-left");
  if (key.delete) return editKey(isByWord ? "delete-word-right" : "delete-right");
  return key.escape ? { type: "escape" } : undefined;
}

function knownKey(key: Key | undefined): Key[] {
  return key === undefined ? [] : [key];
}

/** Text, and between it the control characters that came with it in one chunk. */
function textKeys(input: string): Key[] {
  return (input.match(/\p{Cc}|\P{Cc}+/gu) ?? []).flatMap((part): Key[] => {
    if (part === "\r") return [{ type: "enter" }];
    if (part === "\t") return [{ type: "tab" }];
    if (part === "\u007f") return [editKey("delete-left")];
    const code = part.charCodeAt(0);
    if (code >= 0x20) return [{ type: "edit", edit: { type: "insert", text: part } }];
    return knownKey(CTRL_KEYS[String.fromCharCode(code + 96)]);
  });
}
