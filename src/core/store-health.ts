/** Whether the database takes writes, as the last write has shown; said once at each change. */
import { messageOf, RobsonError } from "./errors.ts";
import type { Logger } from "./logger.ts";

export class StoreHealth {
  readonly #log: Logger;
  #trouble: string | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Why it does not; undefined while it does. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** A write has ended well. */
  worked(): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#log.info({}, "database takes writes again");
  }

  /** A write has failed; only trouble of the database as a whole counts. */
  failed(error: unknown): void {
    if (!isStoreTrouble(error)) return;
    if (this.#trouble === undefined) this.#log.warn({ error: messageOf(error) }, "database takes no writes");
    this.#trouble = messageOf(error);
  }
}

/** Trouble of the database as a whole, which may pass: away, full, read-only, its password changed. */
export function isStoreTrouble(error: unknown): boolean {
  return (
    error instanceof RobsonError && error.code.startsWith("STORE_") && error.code !== "STORE_REFUSED_ROW"
  );
}
