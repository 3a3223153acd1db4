/**
 * What was typed before, for the keys up and down: a place in it, and the text that was begun before looking
 * back. Pure; history-file.ts keeps it across starts.
 */

export interface History {
  /** The oldest first. */
  entries: readonly string[];
  /** Where one looks; the number of entries when one does not look back. */
  place: number;
  /** What was typed before looking back. */
  draft: string;
}

/** How many entries are kept, and how long one may be. */
export const MAX_HISTORY_ENTRIES = 1000;
export const MAX_HISTORY_ENTRY_LENGTH = 20_000;

export function createHistory(entries: readonly string[] = []): History {
  const kept = entries.slice(-MAX_HISTORY_ENTRIES);
  return { entries: kept, place: kept.length, draft: "" };
}

/** With one entry more, and looking at none. One that repeats the last is not kept twice. */
export function remember({ entries }: History, text: string): History {
  const isKept = text.length <= MAX_HISTORY_ENTRY_LENGTH && text !== entries.at(-1);
  return createHistory(isKept ? [...entries, text] : entries);
}

/** The entry before or after the one looked at; undefined at the ends. */
export function recall(
  history: History,
  { by, typed }: { by: -1 | 1; typed: string },
): { history: History; text: string } | undefined {
  const { entries, place } = history;
  const next = place + by;
  if (next < 0 || next > entries.length) return undefined;
  const draft = place === entries.length ? typed : history.draft;
  return { history: { entries, place: next, draft }, text: entries[next] ?? draft };
}
