/**
 * What the commands touch of the process: streams, environment, signals. Data goes to stdout, words to stderr;
 * a reader who closes his end early (`| head`) ends nothing.
 */
import { styleText } from "node:util";
import type { Environment } from "../config/environment.ts";

export interface CliIo {
  cwd: string;
  env: Environment;
  /** One line of data, to stdout. */
  out(line: string): void;
  /** One line for people, to stderr. */
  err(line: string): void;
  /** Whether a person sees stderr on a terminal. */
  isTerminal: boolean;
  /** The text in this style, where the terminal has colors and NO_COLOR is not set. */
  style(format: "red" | "yellow" | "green" | "dim" | "bold", text: string): string;
  /** Aborted by the first SIGINT or SIGTERM from now on; the second ends the process at once. */
  catchSignals(): AbortSignal;
}

export const EXIT_INTERRUPTED = 130;

/** The process that this program runs in. */
export function processIo(): CliIo {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
  return {
    cwd: process.cwd(),
    env: process.env,
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    isTerminal: process.stderr.isTTY === true,
    style: (format, text) => styleText(format, text, { stream: process.stderr }),
    catchSignals,
  };
}

function catchSignals(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED);
    controller.abort(signal);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return controller.signal;
}
