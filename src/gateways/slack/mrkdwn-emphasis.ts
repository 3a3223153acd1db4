/**
 * Emphasis for Slack: `**x**` to `*x*`, `__x__`, `*x*` and `_x_` to `_x_`, `~~x~~` to `~x~`. Marks pair as in
 * CommonMark: a closing mark takes the nearest opening one of its kind, pairs never cross, and a mark without
 * its partner stays as text. Each mark is put on a stack once and taken off once.
 */

/** A row of equal marks in a line. */
export interface Run {
  char: string;
  length: number;
  canOpen: boolean;
  canClose: boolean;
}

/** How `**x**` comes out: marked, or not where all around it is bold already. */
export type Strong = "bold" | "unmarked";

export interface EmphasisStyle {
  strong: Strong;
  /** No marks at all come out of pairs. */
  isLabel: boolean;
}

export function readRun(line: string, start: number): Run {
  const char = line.charAt(start);
  let end = start + 1;
  while (line[end] === char) end += 1;
  const before = kindOf(line[start - 1]);
  const after = kindOf(line[end]);
  const isLeft = after !== "space" && (after === "word" || before !== "word");
  const isRight = before !== "space" && (before === "word" || after !== "word");
  const isInWord = char === "_" && isLeft && isRight;
  return {
    char,
    length: end - start,
    canOpen: isLeft && (!isInWord || before === "punctuation"),
    canClose: isRight && (!isInWord || after === "punctuation"),
  };
}

/** Pairs the runs, given in their order; the result says what comes out in the place of each. */
export function resolveRuns(runs: Run[], style: EmphasisStyle): (run: Run) => string {
  const states = runs.map(
    (run, index): RunState => ({ run, index, free: unitsOf(run), closing: [], opening: [] }),
  );
  const open: Record<string, RunState[]> = {};
  for (const state of states) {
    if (state.run.canClose) closeAll(state, open, style);
    if (state.run.canOpen) for (const unit of state.free) stackOf(open, state, unit).push(state);
  }
  const rendered = new Map(states.map((state) => [state.run, render(state)]));
  return (run) => rendered.get(run) ?? "";
}

/** One mark in a run: a single or a double character. `***` is one of each. */
type Unit = 1 | 2;

interface RunState {
  run: Run;
  index: number;
  /** The marks that have no partner yet. */
  free: Unit[];
  /** What comes out for the marks that close a pair, then for those that open one, innermost first. */
  closing: string[];
  opening: string[];
}

function unitsOf({ char, length }: Run): Unit[] {
  if (length === 3 && char !== "~") return [2, 1];
  return length === 1 || length === 2 ? [length] : [];
}

/** The nearest opening mark first, so that `**a *b***` closes `*` before `**`. */
function closeAll(closer: RunState, open: Record<string, RunState[]>, style: EmphasisStyle): void {
  const nearest = (unit: Unit) => stackOf(open, closer, unit).at(-1)?.index ?? -1;
  const units = closer.free.toSorted((a, b) => nearest(b) - nearest(a));
  for (const unit of units) {
    const opener = stackOf(open, closer, unit).pop();
    if (opener === undefined) continue;
    dropOpenedAfter(opener, open);
    const mark = markFor(closer.run.char, unit, style);
    opener.free = opener.free.filter((each) => each !== unit);
    closer.free = closer.free.filter((each) => each !== unit);
    opener.opening.push(mark);
    closer.closing.push(mark);
  }
}

/** A mark inside the pair that was just closed can no longer reach beyond it. */
function dropOpenedAfter(opener: RunState, open: Record<string, RunState[]>): void {
  for (const stack of Object.values(open)) {
    while ((stack.at(-1)?.index ?? -1) > opener.index) stack.pop();
  }
}

function stackOf(open: Record<string, RunState[]>, { run }: RunState, unit: Unit): RunState[] {
  const kind = run.char + unit;
  open[kind] ??= [];
  return open[kind];
}

function markFor(char: string, unit: Unit, style: EmphasisStyle): string {
  if (style.isLabel) return "";
  if (char === "~") return "~";
  if (char === "_" || unit === 1) return "_";
  return style.strong === "bold" ? "*" : "";
}

function render({ run, free, closing, opening }: RunState): string {
  if (closing.length === 0 && opening.length === 0) return run.char.repeat(run.length);
  const left = run.char.repeat(free.reduce<number>((sum, unit) => sum + unit, 0));
  return closing.join("") + left + opening.toReversed().join("");
}

function kindOf(char: string | undefined): "space" | "punctuation" | "word" {
  if (char === undefined || /\s/.test(char)) return "space";
  return /[\p{P}\p{S}]/u.test(char) ? "punctuation" : "word";
}
