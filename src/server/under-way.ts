/** How many requests are under way at once, and how much their bodies have together: each of them is in memory, several times over. */
import type { Context, MiddlewareHandler } from "hono";
import { RobsonError } from "../core/errors.ts";

/** Smaller bodies are not counted: as many as there may be requests make no difference, and `/stop` is one. */
const SMALL_BYTES = 4096;
/** What a body counts for that does not say how long it is. */
const UNKNOWN_BYTES = 1024 * 1024;

export interface ConcurrencyLimit {
  maxConcurrentRequests: number;
  /** What a request is about, by its path; there are few of them. */
  kindOf(path: string): string;
  /** Whether it has a limit of its own once that one is reached. */
  isUrgent(c: Context): Promise<boolean>;
}

/** Counted by kind: too many messages keep nobody from the rest. */
export function limitConcurrency(options: ConcurrencyLimit): MiddlewareHandler {
  const { maxConcurrentRequests: max, kindOf, isUrgent } = options;
  const underWay = new Map<string, number>();
  const countOf = (kind: string) => underWay.get(kind) ?? 0;
  return async (c, next) => {
    let kind = kindOf(c.req.path);
    if (countOf(kind) >= max && (await isUrgent(c))) kind = `${kind} urgent`;
    if (countOf(kind) >= max)
      throw refused(`maxConcurrentRequests (${max}) are under way`, "server.max_concurrent_requests");
    underWay.set(kind, countOf(kind) + 1);
    try {
      await next();
    } finally {
      underWay.set(kind, countOf(kind) - 1);
    }
  };
}

/** One alone is always let in: how long it may be is for its route to say. */
export function limitBytes(maxBytesUnderWay: number): MiddlewareHandler {
  let underWay = 0;
  return async (c, next) => {
    const bytes = Math.min(bytesOf(c), maxBytesUnderWay);
    if (bytes <= SMALL_BYTES) return next();
    if (underWay + bytes > maxBytesUnderWay)
      throw refused(`maxBytesUnderWay (${maxBytesUnderWay}) are under way`, "server.max_bytes_under_way");
    underWay += bytes;
    try {
      await next();
    } finally {
      underWay -= bytes;
    }
  };
}

function bytesOf(c: Context): number {
  const isChunked = c.req.header("transfer-encoding") !== undefined;
  return isChunked ? UNKNOWN_BYTES : Number(c.req.header("content-length") ?? 0);
}

function refused(why: string, key: string): RobsonError {
  return new RobsonError("RATE_LIMITED", `Cannot accept the request: ${why}`, {
    hint: `Send it again after the time in Retry-After, or raise ${key} in robson.toml`,
  });
}
