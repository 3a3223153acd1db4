/**
 * Abort signals at the price of those that are used: making one, and an error for its reason, costs more than most
 * of what a message needs otherwise, and most workers and gateways never look at theirs.
 */

export class LazySignal {
  #controller: AbortController | undefined;
  #isAborted = false;
  #reason: unknown;

  /** Made when first asked for; aborted already, where that has happened. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  throwIfAborted(): void {
    if (this.#isAborted) throw this.#reason;
  }

  /** The first reason counts. */
  abort(reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** By signal: who wants to hear of it. One listener for all of them, of which there may be hundreds. */
const listeners = new WeakMap<AbortSignal, Set<(reason: unknown) => void>>();

/** Calls back when the signal is aborted, at once when it is; the result takes that back. */
export function onAbort(signal: AbortSignal, callback: (reason: unknown) => void): () => void {
  if (signal.aborted) {
    callback(signal.reason);
    return () => undefined;
  }
  const callbacks = listeners.get(signal) ?? listen(signal);
  callbacks.add(callback);
  return () => void callbacks.delete(callback);
}

function listen(signal: AbortSignal): Set<(reason: unknown) => void> {
  const callbacks = new Set<(reason: unknown) => void>();
  listeners.set(signal, callbacks);
  const tell = () => {
    for (const callback of callbacks) callback(signal.reason);
  };
  signal.addEventListener("abort", tell, { once: true });
  return callbacks;
}
