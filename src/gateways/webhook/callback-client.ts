/**
 * One POST to a callback URL: connects to checked addresses only, follows the redirects that keep a POST,
 * and says of every other outcome whether another attempt can help. It never retries by itself.
 */
import type { Agent, Dispatcher } from "undici";
import type { Clock } from "../../core/clock.ts";
import { DeliveryError, hasCode, messageOf } from "../../core/errors.ts";
import { type AllowedHosts, checkCallbackUrl, type Lookup, parseCallbackUrl } from "./callback-address.ts";
import { retryAfterMs } from "./retry-after.ts";

export interface CallbackClientOptions {
  allowed: AllowedHosts;
  lookup: Lookup;
  clock: Clock;
  /** How long one attempt may take, redirects included. */
  sendTimeoutMs: number;
}

export interface CallbackRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
  signal: AbortSignal;
}

const MAX_REDIRECTS = 3;
/** What is read of an answer's body, so that its connection can be used again; longer ones lose theirs. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** How long the body of an answer may take; its status has decided the outcome already. */
const ANSWER_BODY_TIMEOUT_MS = 1000;
const MAX_CONNECT_MS = 10_000;

/** Keeps connections alive between deliveries; after `stop` they are closed as soon as no delivery is under way. */
export class CallbackClient {
  readonly #options: CallbackClientOptions;
  #agent: Promise<Agent> | undefined;
  #underWay = 0;
  #isStopped = false;

  constructor(options: CallbackClientOptions) {
    this.#options = options;
  }

  /** Resolves when the receiver took the delivery; rejects with a `DeliveryError`. */
  async post(request: CallbackRequest): Promise<void> {
    const { clock, sendTimeoutMs } = this.#options;
    const deadline = new AbortController();
    const cancel = clock.schedule(clock.now() + sendTimeoutMs, () => deadline.abort(timedOut(sendTimeoutMs)));
    this.#underWay += 1;
    try {
      await this.#follow(request, AbortSignal.any([request.signal, deadline.signal]));
    } finally {
      cancel();
      this.#underWay -= 1;
      this.#closeWhenIdle();
    }
  }

  /** Allows deliveries to be made, after the start of the gateway. */
  start(): void {
    this.#isStopped = false;
  }

  /** Closes the connections once no delivery is under way. A delivery made later opens its own. */
  stop(): void {
    this.#isStopped = true;
    this.#closeWhenIdle();
  }

  async #follow(request: CallbackRequest, signal: AbortSignal): Promise<void> {
    let url: URL | null = parseCallbackUrl(request.url) ?? null;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      if (!url) throw permanent("the address is not an http or https URL");
      const answer = await this.#attempt(url, { ...request, signal });
      if (answer.statusCode >= 200 && answer.statusCode < 300) return;
      if (answer.statusCode !== 307 && answer.statusCode !== 308) {
        throw failureOf(answer, { origin: url.origin, now: this.#options.clock.now() });
      }
      const location = answer.headers.location;
      const next = typeof location === "string" ? URL.parse(location, url.href) : null;
      if (!next) throw permanent(`${url.origin} answered ${answer.statusCode} without a usable location`);
      url = next;
    }
    throw permanent(`more than ${MAX_REDIRECTS} redirects, the last one to ${url?.origin}`);
  }

  async #attempt(url: URL, request: CallbackRequest): Promise<Dispatcher.ResponseData> {
    try {
      request.signal.throwIfAborted();
      checkCallbackUrl(url, this.#options.allowed);
      const answer = await orAborted(this.#request(url, request), request.signal);
      await discard(answer.body, this.#options.clock);
      return answer;
    } catch (error) {
      throw asDeliveryError(error, url);
    }
  }

  async #request(url: URL, { headers, body, signal }: CallbackRequest): Promise<Dispatcher.ResponseData> {
    const agent = await this.#load();
    const { origin, pathname, search } = url;
    return agent.request({ origin, path: `${pathname}${search}`, method: "POST", headers, body, signal });
  }

  /** What could not be loaded, as for want of a file descriptor, is loaded by the next attempt. */
  #load(): Promise<Agent> {
    this.#agent ??= this.#createAgent();
    this.#agent.catch(() => {
      this.#agent = undefined;
    });
    return this.#agent;
  }

  async #createAgent(): Promise<Agent> {
    const { createCallbackAgent } = await import("./callback-agent.ts");
    const { allowed, lookup, sendTimeoutMs } = this.#options;
    return createCallbackAgent({
      allowed,
      lookup,
      connectTimeoutMs: Math.min(sendTimeoutMs, MAX_CONNECT_MS),
    });
  }

  #closeWhenIdle(): void {
    if (!this.#isStopped || this.#underWay > 0 || !this.#agent) return;
    this.#agent.then(
      (agent) => agent.close(),
      () => undefined,
    );
    this.#agent = undefined;
  }
}

/** Rejects as soon as the signal is aborted; undici alone would go on resolving and connecting first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}

/** Reads a short body to its end, so that the next delivery finds the connection free; cuts off a long or slow one. */
async function discard(body: Dispatcher.ResponseData["body"], clock: Clock): Promise<void> {
  const cancel = clock.schedule(clock.now() + ANSWER_BODY_TIMEOUT_MS, () => body.destroy());
  await body.dump({ limit: MAX_ANSWER_BYTES });
  cancel();
}

function failureOf(
  answer: Dispatcher.ResponseData,
  { origin, now }: { origin: string; now: number },
): DeliveryError {
  const { statusCode, headers } = answer;
  const isTemporary = statusCode === 429 || statusCode === 408 || statusCode >= 500;
  if (isTemporary) {
    return new DeliveryError(`Cannot deliver to ${origin}: it answered ${statusCode}`, {
      retry: "later",
      retryAfterMs: retryAfterMs(headers["retry-after"], now),
      hint: "It is tried again; look at the receiver when this goes on",
    });
  }
  const isRedirect = statusCode === 301 || statusCode === 302 || statusCode === 303;
  return permanent(`${origin} answered ${statusCode}`, {
    hint: isRedirect
      ? "Redirect with 307 or 308, which keep the POST, or give the final URL"
      : "The receiver refused it for good; answer 2xx to take a delivery, 429 or 5xx to get it again",
  });
}

function asDeliveryError(error: unknown, url: URL): DeliveryError {
  if (error instanceof DeliveryError) return error;
  if (hasCode(error, "CALLBACK_REFUSED")) {
    const { code, message, hint } = error;
    return new DeliveryError(message, { retry: "never", code, cause: error, ...(hint && { hint }) });
  }
  return new DeliveryError(`Cannot deliver to ${url.origin}: ${messageOf(error)}`, {
    retry: "later",
    cause: error,
    hint: "It is tried again; check that the receiver runs and its name and certificate are right",
  });
}

function permanent(
  why: string,
  { hint = "Correct the callback URL and send the message again" } = {},
): DeliveryError {
  return new DeliveryError(`Cannot deliver: ${why}`, { retry: "never", hint });
}

function timedOut(sendTimeoutMs: number): DeliveryError {
  return new DeliveryError(
    `Cannot deliver: the receiver took longer than sendTimeoutMs (${sendTimeoutMs} ms)`,
    {
      retry: "later",
      code: "DELIVERY_TIMED_OUT",
      hint: "Let the receiver answer before it works on the delivery, or raise the limit",
    },
  );
}
