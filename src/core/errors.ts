/**
 * Every error that Robson throws, and the table of their codes. `docs/reference/errors.md` explains each
 * code to its reader; a test compares the two lists.
 */
export const ERROR_CODES = [
  // set-up mistakes
  "USAGE_INVALID",
  "CONFIG_INVALID",
  "CONFIG_UNREADABLE",
  "WORKER_INVALID",
  "GATEWAY_INVALID",
  "PLUGIN_INVALID",
  "ALREADY_RUNNING",
  "PORT_TAKEN",
  "LISTEN_REFUSED",
  // what comes in
  "MESSAGE_INVALID",
  "MESSAGE_TOO_LARGE",
  "UNAUTHORIZED",
  "ORIGIN_REFUSED",
  "NOT_FOUND",
  "CHANNEL_NOT_ALLOWED",
  "RATE_LIMITED",
  "OVERLOADED",
  "STOPPING",
  // the store
  "STORE_LOCATION_INVALID",
  "STORE_UNREADABLE",
  "STORE_READ_ONLY",
  "STORE_FULL",
  "STORE_UNAVAILABLE",
  "STORE_BUSY",
  "STORE_NEWER",
  "STORE_REFUSED_ROW",
  "LEASE_LOST",
  "WORKERS_DIFFER",
  // work and answers
  "WORKER_FAILED",
  "WORKER_TIMED_OUT",
  "WORKER_ENDED",
  "WORKER_STOPPED",
  "RUN_EXISTS",
  "RUN_INVALID",
  "STEP_INVALID",
  "DELIVERY_FAILED",
  "DELIVERY_TIMED_OUT",
  "DELIVERY_CLOSED",
  "CALLBACK_REFUSED",
  // the workflow
  "TASK_INVALID",
  "TASK_EXISTS",
  "TASK_NOT_FOUND",
  "REPOSITORY_INVALID",
  "GIT_FAILED",
  "WORKSPACE_IN_USE",
  "WORKSPACES_FULL",
  "AGENT_FAILED",
  "AGENT_UNAUTHORIZED",
  "VERIFY_FAILED",
  "SANDBOX_UNAVAILABLE",
  "SANDBOX_REFUSED",
  "PROGRAM_MISSING",
  "SANDBOX_LIMIT",
  "INTERNAL",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export interface RobsonErrorOptions {
  /** What the reader can do next, as a full clause without a final period. */
  hint?: string;
  cause?: unknown;
}

/** The base of all our errors: what could not be done and why (`message`), and what to do next (`hint`). */
export class RobsonError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: RobsonErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RobsonError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** A refusal that passes: the same is taken after `retryAfterMs`. Gateways tell their platform so where they can. */
export class TryLaterError extends RobsonError {
  readonly retryAfterMs: number;

  constructor(code: ErrorCode, message: string, options: RobsonErrorOptions & { retryAfterMs: number }) {
    super(code, message, options);
    this.name = "TryLaterError";
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** `later`: worth another attempt. `never`: the same attempt would fail again. */
export type Retry = "later" | "never";

export interface AttemptErrorOptions extends RobsonErrorOptions {
  /** Default: `later`. */
  retry?: Retry;
  /** How long the platform asked us to wait, in milliseconds. */
  retryAfterMs?: number | undefined;
  code?: ErrorCode;
}

/** Expected trouble in one attempt, which becomes a recorded attempt instead of an exception. */
class AttemptError extends RobsonError {
  readonly retry: Retry;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: AttemptErrorOptions) {
    super(options.code ?? code, message, options);
    this.retry = options.retry ?? "later";
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Thrown by a gateway's `send`. Anything else that it throws counts as `retry: "later"`. */
export class DeliveryError extends AttemptError {
  constructor(message: string, options: AttemptErrorOptions = {}) {
    super("DELIVERY_FAILED", message, options);
    this.name = "DeliveryError";
  }
}

/** Thrown by a worker that knows whether trying again can help. Anything else counts as `retry: "later"`. */
export class WorkerError extends AttemptError {
  constructor(message: string, options: AttemptErrorOptions = {}) {
    super("WORKER_FAILED", message, options);
    this.name = "WorkerError";
  }
}

/** How an error from anywhere counts: worth another attempt or not, and after which wait. */
export function retryOf(error: unknown): { retry: Retry; retryAfterMs: number | undefined } {
  if (error instanceof AttemptError) return { retry: error.retry, retryAfterMs: error.retryAfterMs };
  return { retry: "later", retryAfterMs: undefined };
}

/** How much of an error's text is kept and shown, in UTF-16 units. */
const MAX_ERROR_LENGTH = 4000;

/** The text of anything that was thrown, cut where it is long. Never throws, whatever that was. */
export function messageOf(error: unknown): string {
  const text = textOf(error);
  return text.length > MAX_ERROR_LENGTH ? `${text.slice(0, MAX_ERROR_LENGTH).toWellFormed()}…` : text;
}

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message || error.name) : String(error);
  } catch {
    return "something was thrown that has no text";
  }
}

/** `{ stack }` of an error that is none of ours, for the log: where a plugin's or a worker's code went wrong. */
export function stackField(error: unknown): { stack?: string } {
  if (!(error instanceof Error) || error instanceof RobsonError) return {};
  return typeof error.stack === "string" ? { stack: error.stack.slice(0, MAX_ERROR_LENGTH) } : {};
}

/** Whether `error` is ours and carries one of these codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is RobsonError {
  return error instanceof RobsonError && codes.includes(error.code);
}
