/**
 * Which threads have a run that is open, so that a plain message costs nothing where none has: filled when a run
 * begins or waits, at the start and when shards come to this process, emptied when a run ends. It may know too much,
 * never too little: the database is asked before anything is made of it.
 */
import { messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { RunRecords, RunThread } from "./run-store.ts";
import { type ShardKey, shardOf, threadKey } from "./shards.ts";

export interface RunThreadsOptions {
  runs: Pick<RunRecords, "openThreads">;
  log: Logger;
  /** See `Tenure`. */
  holds(gateway: string | null, shard: number): boolean;
}

interface Thread extends ShardKey {
  runs: Set<number>;
}

/** How many open runs are read at once. */
const PAGE = 1000;
/** How many threads are known by name; beyond it each plain message has the database asked. */
const MAX_THREADS = 50_000;

export class RunThreads {
  readonly #options: RunThreadsOptions;
  /** By the thread's key. */
  readonly #threads = new Map<string, Thread>();
  #isComplete = true;
  #addCount = 0;
  #reading: Promise<void> | undefined;
  /** Whether the last reading did not come to its end. */
  #hasFailed = false;
  #isStopped = false;
  /** What has ended while the database was being read, and may still be among what it tells. */
  readonly #endedMeanwhile = new Set<number>();

  constructor(options: RunThreadsOptions) {
    this.#options = options;
  }

  /** Whether a run may be open in the message's thread. */
  mayHave(thread: Parameters<typeof threadKey>[0]): boolean | Promise<boolean> {
    if (this.#reading) return this.#reading.then(() => this.mayHave(thread));
    if (!this.#isComplete) return true;
    return this.#threads.size > 0 && this.#threads.has(threadKey(thread));
  }

  /** How often a run has begun or waited so far. */
  get addCount(): number {
    return this.#addCount;
  }

  add(run: RunThread): void {
    const { conversationId, gateway } = run;
    this.#addCount += 1;
    const key = threadKey(run);
    const known = this.#threads.get(key);
    if (known) known.runs.add(conversationId);
    else if (this.#threads.size >= MAX_THREADS) this.#isComplete = false;
    else this.#threads.set(key, { gateway, shard: shardOf(key), runs: new Set([conversationId]) });
  }

  /** The run has ended. */
  remove(run: RunThread): void {
    const { conversationId } = run;
    if (this.#reading) this.#endedMeanwhile.add(conversationId);
    const key = threadKey(run);
    const known = this.#threads.get(key);
    known?.runs.delete(conversationId);
    if (known?.runs.size === 0) this.#threads.delete(key);
  }

  /** None was open there by the database, which was asked when `addCount` was that: what has begun since it may not know. */
  clear(thread: Parameters<typeof threadKey>[0], addCount: number): void {
    if (addCount === this.#addCount) this.#threads.delete(threadKey(thread));
  }

  /** See `Holder`. */
  forget(isLeft: (key: ShardKey) => boolean): void {
    for (const [key, thread] of this.#threads) if (isLeft(thread)) this.#threads.delete(key);
  }

  /** Nothing of it is ever under way. */
  busy(): Iterable<ShardKey> {
    return [];
  }

  /** Reads the open runs: at the start, and when shards have come. */
  reread(): void {
    const before = this.#reading ?? Promise.resolve();
    const reading = before.then(() => this.#read());
    this.#reading = reading;
    void reading.then(() => {
      if (this.#reading !== reading) return;
      this.#reading = undefined;
      this.#endedMeanwhile.clear();
    });
  }

  /** Reads again what the database did not tell the last time. */
  rereadIfFailed(): void {
    if (this.#hasFailed && !this.#reading) this.reread();
  }

  /** Reads no more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Never rejects: what could not be read is asked for with each message. */
  async #read(): Promise<void> {
    const { runs, log, holds } = this.#options;
    try {
      this.#isComplete = true;
      this.#hasFailed = false;
      for (let after = 0; !this.#isStopped; ) {
        const page = await runs.openThreads({ after, limit: PAGE });
        for (const thread of page) {
          const isOurs = holds(thread.gateway, shardOf(threadKey(thread)));
          if (isOurs && !this.#endedMeanwhile.has(thread.conversationId)) this.add(thread);
        }
        after = page.at(-1)?.conversationId ?? after;
        if (page.length < PAGE) return;
      }
    } catch (error) {
      this.#isComplete = false;
      this.#hasFailed = true;
      if (this.#isStopped) return;
      log.warn(
        { error: messageOf(error) },
        "cannot read which threads have runs; each message has them looked up",
      );
    }
  }
}
