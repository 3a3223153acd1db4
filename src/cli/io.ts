/**
 * What the commands touch of the process: streams, environment, signals. Data goes to stdout, words to stderr;
 * a reader who closes his end early (`| head`) ends nothing. Whatever is printed was perhaps written by a stranger:
 * nothing of it reaches a terminal as a command to it.
 */
import { styleText } from "node:util";
import type { Environment } from "../config/environment.ts";
import { replaceUnsafe } from "../core/text.ts";

export interface CliIo {
  cwd: string;
  env: Environment;
  /** One line of data, to stdout; control and bidi characters as `\u001b`. */
  out(line: string): void;
  /** One line for people, to stderr; control and bidi characters too, but for those of `style`. */
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
  const style: CliIo["style"] = (format, text) => styleText(format, text, { stream: process.stderr });
  const hasStyles = style("bold", "x") !== "x";
  return {
    cwd: process.cwd(),
    env: process.env,
    out: (line) => void process.stdout.write(`${harmless(line)}\n`),
    err: (line) => void process.stderr.write(`${harmless(line, { hasStyles })}\n`),
    isTerminal: process.stderr.isTTY === true,
    style,
    catchSignals,
  };
}

/** What `style` writes: red, green, yellow, dim, bold, and the ends of those. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is the control characters that are looked for
const STYLES = /(\u001b\[(?:3[1239]|2?2|1)m)/u;

/**
 * The text with control and bidi characters escaped as JSON escapes them: a line of JSON keeps its meaning. A
 * stranger's own red or bold may pass where ours does; it hides nothing.
 */
export function harmless(text: string, { hasStyles = false } = {}): string {
  const lines = text.replace(/\r\n?/g, "\n");
  if (!hasStyles) return replaceUnsafe(lines, escaped);
  // With the group in the pattern, every second part is a style.
  const parts = lines.split(STYLES);
  return parts.map((part, index) => (index % 2 === 1 ? part : replaceUnsafe(part, escaped))).join("");
}

function escaped(sign: string): string {
  return `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
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
