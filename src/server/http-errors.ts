/**
 * How errors look over HTTP: one table from code to status, one shape `{code, message, hint}`. What is not in
 * the table is nobody's business outside: it becomes a plain 500, and its text goes to the log alone.
 */
import { type ErrorCode, hasCode, messageOf, RobsonError, TryLaterError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";

/** A refusal whose time to wait is known. */
export class TooManyRequests extends RobsonError {
  readonly retryAfterSeconds: number;

  constructor(message: string, { retryAfterSeconds }: { retryAfterSeconds: number }) {
    const hint =
      "Send it again after the time in Retry-After, or raise server.max_requests_per_minute in robson.toml";
    super("RATE_LIMITED", message, { hint });
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

interface HttpAnswer {
  status: number;
  /** Sent as `Retry-After` where another try can help. */
  retryAfterSeconds?: number;
}

const ANSWERS: Partial<Record<ErrorCode, HttpAnswer>> = {
  MESSAGE_INVALID: { status: 400 },
  CALLBACK_REFUSED: { status: 400 },
  TASK_INVALID: { status: 400 },
  UNAUTHORIZED: { status: 401 },
  ORIGIN_REFUSED: { status: 403 },
  CHANNEL_NOT_ALLOWED: { status: 403 },
  NOT_FOUND: { status: 404 },
  TASK_NOT_FOUND: { status: 404 },
  TASK_EXISTS: { status: 409 },
  RUN_EXISTS: { status: 409 },
  RUN_INVALID: { status: 409 },
  MESSAGE_TOO_LARGE: { status: 413 },
  RATE_LIMITED: { status: 429, retryAfterSeconds: 1 },
  OVERLOADED: { status: 503, retryAfterSeconds: 5 },
  STORE_BUSY: { status: 503, retryAfterSeconds: 1 },
  STORE_UNAVAILABLE: { status: 503, retryAfterSeconds: 2 },
  STOPPING: { status: 503, retryAfterSeconds: 2 },
  // Another process has taken over, and answers at the same address soon.
  LEASE_LOST: { status: 503, retryAfterSeconds: 2 },
  STORE_FULL: { status: 503, retryAfterSeconds: 30 },
  // While a standby becomes the primary, say, or a password or a right of the database user changes: it passes too.
  STORE_READ_ONLY: { status: 503, retryAfterSeconds: 5 },
  STORE_UNREADABLE: { status: 503, retryAfterSeconds: 30 },
};

/** The answer to a request that failed. Logs what its reader is not told. */
export function errorResponse(error: unknown, log: Logger): Response {
  const answer = error instanceof RobsonError ? ANSWERS[error.code] : undefined;
  if (error instanceof TooManyRequests) return errorAnswer(error, { ...error, status: 429 });
  if (error instanceof TryLaterError && answer)
    return errorAnswer(error, { ...answer, retryAfterSeconds: Math.ceil(error.retryAfterMs / 1000) });
  if (error instanceof RobsonError && answer) return errorAnswer(error, answer);
  log.error({ err: error }, `cannot answer a request: ${messageOf(error)}`);
  const hidden = new RobsonError("INTERNAL", "Cannot answer the request: something in Robson failed", {
    hint: "Look into the log of Robson, which has the cause",
  });
  return errorAnswer(hidden, { status: 500 });
}

/** The JSON of an error, as every answer that is not a success carries it. */
export function errorBody(error: RobsonError): string {
  return JSON.stringify({ code: error.code, message: error.message, hint: error.hint ?? null });
}

function errorAnswer(error: RobsonError, { status, retryAfterSeconds }: HttpAnswer): Response {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (retryAfterSeconds !== undefined) headers["retry-after"] = String(retryAfterSeconds);
  if (hasCode(error, "UNAUTHORIZED")) headers["www-authenticate"] = 'Bearer realm="robson"';
  return new Response(errorBody(error), { status, headers });
}
