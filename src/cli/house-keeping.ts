/**
 * What `robson agent` removes of its files beside the loop: workspaces that nobody wants any more, saved work and transcripts
 * that are old. Now and then; a round that fails is said, and tried again at the next. A crash leaves what the next removes.
 */
import type { Config } from "../config/load-config.ts";
import { type Clock, wait } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { tryFileLock } from "../store/sqlite/file-lock.ts";
import { removeOldTranscripts } from "../workflow/transcript.ts";
import { cleanWorkArea } from "../workflow/workspace/clean.ts";

export interface HouseKeepingOptions {
  store: Pick<OpenedStore, "runs">;
  config: Config;
  clock: Clock;
  log: Logger;
}

/** The first round, once the start is over. */
const FIRST_ROUND_MS = 120_000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** How many open runs are looked at. */
const MAX_OPEN_RUNS = 10_000;

export class HouseKeeping {
  readonly #options: HouseKeepingOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: HouseKeepingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when the round under way has ended. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error("House-keeping is stopped"));
    await this.#running;
  }

  async round(): Promise<void> {
    const { store, config, clock, log } = this.#options;
    const { workDir: workDirectory, limits } = config.workflow;
    const now = clock.now();
    // A run that waits for a person has no process in its workspace, and wants it again.
    const open = await store.runs.runs({ isOpen: true, limit: MAX_OPEN_RUNS });
    const wanted = new Set(open.map(({ conversationId }) => String(conversationId)));
    const report = await cleanWorkArea(
      { workDirectory, tryLock: tryFileLock, now, isWanted: ({ runId }) => wanted.has(runId) },
      { limits, signal: this.#stopped.signal },
    );
    const before = now - config.retention.messageDays * DAY_MS;
    const transcripts = await removeOldTranscripts({ workDirectory, before });
    const counts = {
      workspaces: report.removed.length,
      saved: report.forgotten.length,
      mirrors: report.mirrors.length,
      transcripts,
    };
    if (Object.values(counts).some((count) => count > 0)) log.info(counts, "work directory cleaned up");
  }

  async #run(): Promise<void> {
    const { clock, config, log } = this.#options;
    const { signal } = this.#stopped;
    for (let waitMs = FIRST_ROUND_MS; !signal.aborted; waitMs = config.retention.intervalSeconds * 1000) {
      try {
        await wait(clock, waitMs, signal);
        await this.round();
      } catch (error) {
        if (!signal.aborted)
          log.warn(
            { error: messageOf(error) },
            "the work directory could not be cleaned up; it is tried again",
          );
      }
    }
  }
}
