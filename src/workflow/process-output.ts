/**
 * What a program prints: the end of both its streams is kept, stdout is handed over line by line, and all of it is
 * counted. Memory is bounded by what is kept and by the longest line, however much is printed.
 */
import type { ChildProcess } from "node:child_process";

export interface OutputOptions {
  /** How much it may print, in bytes. */
  maxBytes: number;
  /** How much of the end of each stream is kept, in characters. */
  maxKept: number;
  /** The longest line that is handed over, in characters; a longer one is left out. */
  maxLine: number;
  onLine: ((line: string) => void) | undefined;
  /** Something was printed. */
  onData(): void;
  onOverflow(): void;
  /** `onLine` has thrown; it is not called again. */
  onError(error: unknown): void;
}

export interface CollectedOutput {
  kept(): { stdout: string; stderr: string };
}

/** Reads both streams of the child from now on. */
export function collectOutput(child: ChildProcess, options: OutputOptions): CollectedOutput {
  const kept = { stdout: "", stderr: "" };
  const splitter = options.onLine ? lineSplitter(options.onLine, options.maxLine) : undefined;
  let printedBytes = 0;
  let hasFailed = false;

  for (const name of ["stdout", "stderr"] as const) {
    const stream = child[name];
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      options.onData();
      printedBytes += Buffer.byteLength(chunk);
      if (printedBytes > options.maxBytes) options.onOverflow();
      kept[name] = (kept[name] + chunk).slice(-options.maxKept);
      if (name !== "stdout" || hasFailed) return;
      try {
        splitter?.(chunk);
      } catch (error) {
        hasFailed = true;
        options.onError(error);
      }
    });
  }
  return { kept: () => ({ stdout: kept.stdout.toWellFormed(), stderr: kept.stderr.toWellFormed() }) };
}

/** Calls `onLine` with each whole line. The pieces of a line are put together once, when it is whole. */
function lineSplitter(onLine: (line: string) => void, maxLine: number): (chunk: string) => void {
  let pieces: string[] = [];
  let length = 0;
  return (chunk) => {
    const [first = "", ...others] = chunk.split("\n");
    const add = (piece: string) => {
      length += piece.length;
      if (length <= maxLine) pieces.push(piece);
      else pieces = [];
    };
    add(first);
    for (const next of others) {
      const line = length <= maxLine ? pieces.join("") : undefined;
      pieces = [];
      length = 0;
      if (line !== undefined) onLine(line);
      add(next);
    }
  };
}
