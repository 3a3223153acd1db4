/**
 * The contract of a lock between processes, and waiting for one. The lock is a file's, the system frees it when its
 * holder's process ends, however that ends: a crash leaves no lock behind, and nobody has to judge who is still alive.
 */
import { setTimeout as wait } from "node:timers/promises";
import { WorkerError } from "../core/errors.ts";

export interface FileLock {
  readonly isHeld: boolean;
  /** Safe to call twice. */
  release(): void;
}

/** Takes the lock of a file, which is made where it is missing. Undefined while anybody, this process too, has it. */
export type TryLock = (file: string) => FileLock | undefined;

/** How often a lock that someone else has is looked at, in milliseconds. */
const LOOK_MS = 50;

export interface LockWait {
  tryLock: TryLock;
  /** What is waited for, as its reader knows it. */
  what: string;
  maxWaitMs: number;
  signal: AbortSignal;
}

/** Runs `work` while it holds the lock. `GIT_FAILED`, worth another try, when it is not free in time. */
export async function withLock<T>(file: string, options: LockWait, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(file, options);
  try {
    return await work();
  } finally {
    lock.release();
  }
}

/** Undefined when the lock is not free within the time. */
export async function tryLockFor(
  file: string,
  { tryLock, maxWaitMs, signal }: Omit<LockWait, "what">,
): Promise<FileLock | undefined> {
  const endsAt = performance.now() + maxWaitMs;
  for (;;) {
    const lock = tryLock(file);
    if (lock || performance.now() >= endsAt) return lock;
    await wait(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function waitForLock(file: string, options: LockWait): Promise<FileLock> {
  const { what, maxWaitMs } = options;
  const lock = await tryLockFor(file, options);
  if (lock) return lock;
  throw new WorkerError(
    `Cannot work on ${what}: others have been at it for longer than maxLockWaitMs (${maxWaitMs} ms)`,
    {
      code: "GIT_FAILED",
      retry: "later",
      hint: "A first clone may take that long; raise workflow.limits.max_lock_wait_ms in robson.toml",
    },
  );
}
