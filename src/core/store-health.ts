/** Whether the database takes writes, as the last write has shown, and can be reached at all; said once at each change. */
import { hasCode, messageOf, RobsonError } from "./errors.ts";
import type { Logger } from "./logger.ts";

export class StoreHealth {
  readonly #log: Logger;
  #trouble: string | undefined;
  #unreachable: RobsonError | undefined;
  #isGivenUp = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Why it does not; undefined while it does. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** A write has ended well, or the database has answered. */
  worked(): void {
    this.#unreachable = undefined;
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#log.info({}, "database takes writes again");
  }

  /** The database has not answered when it was asked how things are: what has to be written would wait for as long as it takes to give up. */
  unreached(error: unknown): void {
    if (hasCode(error, "STORE_UNAVAILABLE")) this.#unreachable = error;
    this.failed(error);
  }

  /** Throws where a write that begins now would be in vain: nothing of it has happened then. */
  refuseWhileUnreachable(): void {
    if (this.#unreachable) throw this.#unreachable;
  }

  /** The right to write is lost: what fails from now on says nothing of the database. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /** A write has failed; only trouble of the database as a whole counts. */
  failed(error: unknown): void {
    if (this.#isGivenUp || !isStoreTrouble(error)) return;
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
