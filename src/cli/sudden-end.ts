/**
 * Code of a plugin or a worker can end the process in the middle of everything: by `process.exit`, or by an error that
 * nobody catches. It ends then, as its state is unknown, and what it was at is taken up by the next start; here the
 * log is told why, and a supervisor by an exit code that is not 0.
 */
import { messageOf } from "../core/errors.ts";
import { EXIT_INTERRUPTED } from "./io.ts";
import type { CommandLog } from "./log.ts";

/** Watches until the result is called. */
export function tellOfSuddenEnd(log: CommandLog): () => void {
  let isTold = false;
  const onError = (error: unknown) => {
    isTold = true;
    const stack = error instanceof Error ? error.stack : undefined;
    log.error({ error: messageOf(error), stack }, "the process ends: nobody has caught an error");
  };
  const onExit = (code: number) => {
    if (!isTold && code !== EXIT_INTERRUPTED)
      log.error({ code }, "the process ends: a plugin or a worker has called process.exit");
    if (code === 0) process.exitCode = 1;
  };
  // Of a promise that is rejected and that nobody awaits, too.
  process.on("uncaughtExceptionMonitor", onError);
  // Before the log's own, which closes it.
  process.prependListener("exit", onExit);
  return () => {
    process.off("uncaughtExceptionMonitor", onError);
    process.off("exit", onExit);
  };
}
