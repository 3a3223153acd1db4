/**
 * The log of a command that has the terminal for itself: into `log.file` where there is one, and never onto the
 * screen. Warnings and errors become lines of the conversation; one that repeats itself is told once a minute.
 */
import type { Config } from "../../config/load-config.ts";
import type { Clock } from "../../core/clock.ts";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { CliIo } from "../io.ts";
import { type CommandLog, createLog } from "../log.ts";

export interface TerminalLogOptions {
  io: CliIo;
  config: Config;
  clock: Clock;
  onWarning(text: string): void;
}

const REPEAT_AFTER_MS = 60_000;
const MAX_REMEMBERED = 100;

export function createTerminalLog({ io, config, clock, onWarning }: TerminalLogOptions): CommandLog {
  const file = config.log.file === undefined ? undefined : createLog({ io, config, isJson: true });
  const told = new Map<string, number>();
  const warn = (fields: object, message: string) => {
    const text = warningText(fields, message);
    const now = clock.now();
    if (now - (told.get(text) ?? Number.NEGATIVE_INFINITY) < REPEAT_AFTER_MS) return;
    if (told.size >= MAX_REMEMBERED) told.clear();
    told.set(text, now);
    onWarning(text);
  };
  const log: Logger = {
    debug: (fields, message) => file?.debug(fields, message),
    info: (fields, message) => file?.info(fields, message),
    warn(fields, message) {
      file?.warn(fields, message);
      warn(fields, message);
    },
    error(fields, message) {
      file?.error(fields, message);
      warn(fields, message);
    },
  };
  return { ...log, close: () => file?.close() };
}

/** `delivery attempt failed (webhook, message 12): connection refused`. */
function warningText(fields: object, message: string): string {
  const { gateway, worker, conversationId, error, err } = fields as Record<string, unknown>;
  const where = [
    ...(typeof gateway === "string" ? [gateway] : []),
    ...(typeof worker === "string" ? [`worker ${worker}`] : []),
    ...(typeof conversationId === "number" ? [`message ${conversationId}`] : []),
  ];
  const about = where.length === 0 ? "" : ` (${where.join(", ")})`;
  const why = error ?? (err === undefined ? undefined : messageOf(err));
  return `${message}${about}${why === undefined ? "" : `: ${String(why)}`}`;
}
