/**
 * A transaction that the server has ended because another one and it waited for each other (a deadlock) is written
 * again: nothing of it was stored, and the other one goes on. Not all statements lock their rows in one order: to sort
 * the rows of each batch would cost more than to repeat one now and then.
 */
import { hasCode } from "../../core/errors.ts";
import { sqlState } from "./errors.ts";

/** How often a transaction is tried before whoever asked for it is told. */
export const MAX_ATTEMPTS = 5;

/** Whether nothing of it was stored, and it can be tried again at once. */
export function wasForAnother(error: unknown): boolean {
  // Our own: what stood in the way has just ended.
  if (hasCode(error, "STORE_BUSY")) return true;
  const state = sqlState(error);
  return state === "40P01" || state === "40001";
}

/** Writes in a transaction of its own, again where the server ends that for another one's sake. */
export async function repeating<T>(write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await write();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !wasForAnother(error)) throw error;
    }
  }
}
