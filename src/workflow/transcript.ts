/**
 * The transcript of a run: what its agent said and what Robson made of it, one JSON object a line, with the secrets
 * taken out. Of a long one the end is kept: at half its size the file is put aside as `.older`, and what was aside is
 * dropped. A crash loses the lines of the last instant; a line that it cut is passed over.
 */
import { appendFile, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toStorable } from "../core/text.ts";
import { isRecord, parseObject } from "./agent-program.ts";
import type { AgentEvent } from "./coding-agent.ts";
import { redactor } from "./redact.ts";

export interface TranscriptOptions {
  /** Made with its folder, where it is not there; gone on with, where it is. */
  file: string;
  /** The limit `maxTranscriptBytes`. */
  maxBytes: number;
  /** Values that must not stand in it. */
  secrets: readonly string[];
  clock: { now(): number };
  /** Called once when it cannot be written; the work goes on without it. */
  onError?(error: unknown): void;
}

export interface Transcript {
  /** A line as the agent wrote it. */
  line(line: string): void;
  event(event: AgentEvent): void;
  /** Something that Robson says: a turn begins, a limit is passed. */
  note(text: string): void;
  /** Resolves when all of it is written. Never rejects. */
  close(): Promise<void>;
}

export interface TranscriptEntry {
  at: number;
  /** One of the three. */
  line?: string;
  event?: AgentEvent;
  note?: string;
}

/** How much of one line is kept, in characters. Not for the configuration: it is for people to read. */
const MAX_LINE = 64 * 1024;

/** Where the transcript of a run lies. */
export function transcriptFile({ workDirectory, runId }: { workDirectory: string; runId: number }): string {
  return join(workDirectory, "transcripts", `${runId}.jsonl`);
}

/** Opens it for writing. Safe to open again after a crash; two writers at once would mix their lines. */
export function openTranscript(options: TranscriptOptions): Transcript {
  const redact = redactor(options.secrets);
  const waiting: string[] = [];
  let writing: Promise<void> | undefined;
  let hasFailed = false;

  const write = async () => {
    // A turn of the event loop later, so that lines that come together are written together.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0 && !hasFailed) {
      const text = takeUpTo(waiting, options.maxBytes / 4);
      await append(text, options).catch((error: unknown) => {
        hasFailed = true;
        options.onError?.(error);
      });
    }
    writing = undefined;
  };
  const add = (entry: Omit<TranscriptEntry, "at">) => {
    if (hasFailed) return;
    waiting.push(`${redact(JSON.stringify({ at: options.clock.now(), ...entry }))}\n`);
    writing ??= write();
  };
  return {
    line: (line) => add({ line: cut(redact(line)) }),
    event: (event) => add({ event }),
    note: (note) => add({ note: cut(note) }),
    close: async () => void (await writing),
  };
}

/** All that is kept of it, in its order; nothing where there is none. */
export async function readTranscript(file: string): Promise<TranscriptEntry[]> {
  const parts = await Promise.all(
    [olderOf(file), file].map((name) => readFile(name, "utf8").catch(ifMissing)),
  );
  return parts.flatMap((part) => part.split("\n").flatMap((line) => readEntry(line) ?? []));
}

/** Removes the transcripts that were last written to before that instant, and returns how many files. Safe to call twice. */
export async function removeOldTranscripts({
  workDirectory,
  before,
}: {
  workDirectory: string;
  before: number;
}): Promise<number> {
  const folder = dirname(transcriptFile({ workDirectory, runId: 0 }));
  const names = await readdir(folder).catch(() => []);
  let removed = 0;
  for (const name of names) {
    const { mtimeMs } = await stat(join(folder, name)).catch(() => ({ mtimeMs: before }));
    if (mtimeMs >= before) continue;
    await rm(join(folder, name), { force: true });
    removed += 1;
  }
  return removed;
}

/** One entry for a person, or undefined where it says nothing beyond the events around it. */
export function showEntry({ at, event, note, line }: TranscriptEntry): string | undefined {
  const time = new Date(at).toISOString().slice(11, 19);
  if (note !== undefined) return `${time} -- ${note}`;
  // What is no object is no protocol, and nobody has made an event of it.
  if (line !== undefined) return parseObject(line) === undefined ? `${time}    ${line}` : undefined;
  if (event === undefined) return undefined;
  return `${time} ${wordsOf(event)}`;
}

function wordsOf(event: AgentEvent): string {
  if (event.type === "session") return `session ${event.id}${event.model ? `, ${event.model}` : ""}`;
  if (event.type === "message") return event.text;
  if (event.type === "tool") return `> ${event.name} ${event.detail}`;
  return event.type === "edited" ? `> edited ${event.file}` : `waiting: ${event.reason}`;
}

/** The first of the texts, at least one, as one text; a flood must not be written in one piece. */
function takeUpTo(texts: string[], maxLength: number): string {
  let length = 0;
  const over = texts.findIndex((text, index) => {
    length += text.length;
    return index > 0 && length > maxLength;
  });
  return texts.splice(0, over === -1 ? texts.length : over).join("");
}

async function append(text: string, { file, maxBytes, clock }: TranscriptOptions): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const { size } = await stat(file).catch(() => ({ size: 0 }));
  const isFull = size > 0 && size + Buffer.byteLength(text) > maxBytes / 2;
  if (isFull) {
    const isDropping = await stat(olderOf(file)).then(
      () => true,
      () => false,
    );
    await rename(file, olderOf(file));
    if (isDropping) {
      const note = `What came before is left out: maxTranscriptBytes (${maxBytes}) is reached`;
      await appendFile(file, `${JSON.stringify({ at: clock.now(), note })}\n`, { mode: 0o600 });
    }
  }
  // The line break first: a crash may have cut the last line.
  await appendFile(file, size > 0 && !isFull ? `\n${text}` : text, { mode: 0o600 });
}

function olderOf(file: string): string {
  return `${file}.older`;
}

function readEntry(line: string): TranscriptEntry | undefined {
  const value = parseObject(line);
  if (value === undefined || typeof value.at !== "number") return undefined;
  const { at, note } = value;
  if (typeof value.line === "string") return { at, line: value.line };
  if (typeof note === "string") return { at, note };
  return isEvent(value.event) ? { at, event: value.event } : undefined;
}

const EVENT_TYPES = ["session", "message", "tool", "edited", "waiting"];

function isEvent(value: unknown): value is AgentEvent {
  return isRecord(value) && EVENT_TYPES.includes(String(value.type));
}

function ifMissing(error: unknown): string {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
  throw error;
}

function cut(text: string): string {
  const whole = toStorable(text);
  return whole.length <= MAX_LINE
    ? whole
    : `${whole.slice(0, MAX_LINE).toWellFormed()}… (${whole.length} characters)`;
}
