/**
 * The part of the screen that changes: work under way, the input line, the menu. Never as high as the screen and
 * without rules across it, so that a terminal which reflows its lines at a resize leaves no rubbish behind.
 */
import type { RunningWork } from "./conversation.ts";
import { elapsedText } from "./entry-view.ts";
import { inputView } from "./input-view.ts";
import type { Prompt } from "./prompt.ts";
import { safeLine } from "./safe-text.ts";
import { type Row, wrapSpans } from "./styled.ts";
import { fitTo, widthOf } from "./width.ts";

export interface FrameState {
  running: readonly RunningWork[];
  /** Absent once nothing can be typed any more. */
  prompt?: Prompt | undefined;
  /** A word on the state of things, as "stopping". */
  status?: string | undefined;
  size: { columns: number; rows: number };
  now: number;
  /** Counts on while something runs. */
  tick: number;
}

export interface Frame {
  rows: Row[];
  /** Absent where nothing can be typed. */
  cursor?: { x: number; y: number };
}

export const SPINNER = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const PLACEHOLDER = "Type a message, or /help";
const MAX_RUNNING_ROWS = 5;
const MAX_STATUS_ROWS = 3;
const MAX_MENU_ROWS = 6;
const MAX_INPUT_ROWS = 10;
/** What a question gets of its row at least, before its progress. */
const QUESTION_COLUMNS = 32;

/** The rows, top to bottom, and where the cursor belongs. */
export function frameOf(state: FrameState): Frame {
  const { columns, rows: height } = state.size;
  const running = runningRows(state);
  const above = [...running, ...statusRows(state)];
  if (state.prompt === undefined) return { rows: above };
  const menu = menuRows(state.prompt, columns);
  const maxRows = Math.max(3, Math.min(MAX_INPUT_ROWS, height - 2 - above.length - menu.length));
  const input = inputView(state.prompt.typed, {
    width: columns,
    maxRows,
    placeholder: fitTo(PLACEHOLDER, columns - 3),
  });
  const cursor = { x: input.cursor.column, y: above.length + input.cursor.row };
  return { rows: [...above, ...input.rows, ...menu], cursor };
}

/** One row for each message under way; of many the first ones, and a count. */
function runningRows({ running, size, now, tick }: FrameState): Row[] {
  const max = Math.max(1, Math.min(MAX_RUNNING_ROWS, size.rows - 8));
  const shown = running.length <= max ? running : running.slice(0, max - 1);
  const rows = shown.map((work) => runningRow(work, { columns: size.columns - 1, now, tick }));
  const left = running.length - shown.length;
  return left === 0 ? rows : [...rows, [{ text: `  and ${left} more under way`, color: "gray" }]];
}

function runningRow(work: RunningWork, at: { columns: number; now: number; tick: number }): Row {
  const elapsedMs = Math.max(0, at.now - work.startedAt);
  const time = elapsedMs < 1000 ? "" : ` ${elapsedText(elapsedMs)}`;
  const room = at.columns - 2 - widthOf(time);
  const progress = work.progress === undefined ? "" : plainProgress(work.progress);
  const question = fitTo(
    safeLine(work.question),
    progress === ""
      ? room
      : Math.max(Math.min(QUESTION_COLUMNS, Math.floor(room / 2)), room - widthOf(progress) - 3),
  );
  const rest = progress === "" ? "" : fitTo(` · ${progress}`, room - widthOf(question));
  return [
    { text: `${SPINNER[at.tick % SPINNER.length] ?? ""} `, color: "cyan" },
    { text: question },
    { text: rest, color: "gray" },
    { text: time, color: "gray" },
  ];
}

/** The first line that says something, without the marks of Markdown: there is room for a few words only. */
function plainProgress(content: string): string {
  const line = content.split("\n").find((text) => text.trim() !== "") ?? "";
  return safeLine(line.replace(/\*\*|__|~~|`+|^#+ /gu, ""));
}

/** In full also on a narrow screen: it may say how to go on. */
function statusRows({ status, size }: FrameState): Row[] {
  if (status === undefined) return [];
  const words: Row = [{ text: safeLine(status), color: "yellow" }];
  return wrapSpans(words, { width: Math.max(1, size.columns - 1) }).slice(0, MAX_STATUS_ROWS);
}

function menuRows({ menu }: Prompt, columns: number): Row[] {
  if (menu === undefined) return [];
  const { candidates } = menu.completion;
  const from = Math.max(0, Math.min(menu.chosen - MAX_MENU_ROWS + 2, candidates.length - MAX_MENU_ROWS));
  const part = candidates.slice(from, from + MAX_MENU_ROWS);
  const labelColumns = Math.min(
    Math.floor(columns / 2),
    Math.max(...part.map(({ label }) => widthOf(safeLine(label)))),
  );
  const rows = part.map(({ label, description }, index): Row => {
    const isChosen = from + index === menu.chosen;
    const shownLabel = fitTo(safeLine(label), labelColumns);
    const padding = " ".repeat(Math.max(0, labelColumns - widthOf(shownLabel)));
    return [
      { text: isChosen ? "▸ " : "  ", color: "cyan" },
      { text: shownLabel, ...(isChosen && { bold: true }) },
      { text: `${padding}  ${fitTo(safeLine(description), columns - labelColumns - 5)}`, color: "gray" },
    ];
  });
  const left = candidates.length - part.length;
  return left > 0 ? [...rows, [{ text: `  ${left} more`, color: "gray" }]] : rows;
}
