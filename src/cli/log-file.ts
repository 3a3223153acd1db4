/**
 * The file that a log is written to. Lines are gathered for a moment and written in the background, one write at a
 * time; what cannot be written, as on a full disk, is held up to a limit and written when there is space again. It
 * never throws, and never waits for a disk: a log ends nobody's work. (That of pino loops at its end on a full disk.)
 */
import { closeSync, write, writeSync } from "node:fs";

export interface LogFile {
  write(line: string): void;
  /** Writes what is held as far as that is possible, and closes the file; later lines go nowhere. */
  close(): void;
}

export interface LogFileOptions {
  fd: number;
  /** Told of the first write that fails after one that did not. */
  onTrouble(error: unknown): void;
}

/**
 * How much of the log is written at once, and after how long the less that there is; a kill loses that much. Each write
 * goes through another thread, which costs as much as twenty lines.
 */
const WRITE_BYTES = 64 * 1024;
const WRITE_AFTER_MS = 100;
/** How much is held of what cannot be written now; lines beyond it are dropped. */
const MAX_HELD_BYTES = 4 * 1024 * 1024;

export function openedLogFile({ fd, onTrouble }: LogFileOptions): LogFile {
  let lines: string[] = [];
  let gatheredLength = 0;
  /** What is being written, or has to be written next: a part of a line may be in the file already. */
  let rest = Buffer.alloc(0);
  let isWriting = false;
  let hasTrouble = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  function take(): void {
    clearTimeout(timer);
    timer = undefined;
    if (rest.length > 0) return;
    rest = Buffer.from(lines.join(""));
    lines = [];
    gatheredLength = 0;
  }

  function fail(error: unknown): void {
    if (!hasTrouble) onTrouble(error);
    hasTrouble = true;
  }

  function writeOn(): void {
    if (isWriting || isClosed) return;
    take();
    if (rest.length === 0) return;
    isWriting = true;
    write(fd, rest, (error, bytes) => {
      isWriting = false;
      if (isClosed) return void finish(error ? 0 : bytes);
      if (error) {
        fail(error);
        return later();
      }
      hasTrouble = false;
      rest = rest.subarray(bytes);
      if (rest.length > 0 || gatheredLength >= WRITE_BYTES) writeOn();
      else if (gatheredLength > 0) later();
    });
  }

  function later(): void {
    timer ??= setTimeout(writeOn, WRITE_AFTER_MS).unref();
  }

  /** The last of it; `written` bytes of what was being written are in the file. */
  function finish(written: number): void {
    process.off("exit", closeNow);
    rest = rest.subarray(written);
    try {
      for (; rest.length > 0 || lines.length > 0; rest = rest.subarray(writeSync(fd, rest))) take();
    } catch (error) {
      fail(error);
    }
    closeSync(fd);
  }

  function close(): void {
    if (isClosed) return;
    isClosed = true;
    clearTimeout(timer);
    // A write under way ends soon, and then the rest of it is written.
    if (!isWriting) finish(0);
  }

  /** The process ends in this moment and hears of no write any more: one under way is made again, rather than lost. */
  function closeNow(): void {
    isClosed = true;
    finish(0);
  }

  process.on("exit", closeNow);
  return {
    write(line) {
      if (isClosed || gatheredLength + rest.length > MAX_HELD_BYTES) return;
      lines.push(line);
      gatheredLength += line.length;
      if (gatheredLength >= WRITE_BYTES && !hasTrouble) writeOn();
      else later();
    },
    close,
  };
}
