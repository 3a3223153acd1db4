/** Calls the HTTP server of a running agent: its address, the token, and its errors as ours. */
import { z } from "zod";
import type { Config } from "../../config/load-config.ts";
import { ERROR_CODES, type ErrorCode, hasCode, messageOf, RobsonError } from "../../core/errors.ts";
import { isStoreTrouble } from "../../core/store-health.ts";

const MAX_REQUEST_MS = 30_000;

const errorSchema = z.object({ code: z.string(), message: z.string(), hint: z.string().nullish() });

export interface RobsonClient {
  readonly url: string;
  get(path: string, options: { signal: AbortSignal }): Promise<unknown>;
  post(path: string, options: { body: object; signal: AbortSignal }): Promise<unknown>;
  /** The body of an answer that does not end. */
  stream(
    path: string,
    options: { signal: AbortSignal; lastEventId: string },
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
}

/** A client for the server that the configuration describes. */
export function robsonClient({ server, secrets }: Pick<Config, "server" | "secrets">): RobsonClient {
  const url = `http://${callableHost(server.host)}:${server.port}`;
  const headers = secrets.token === undefined ? {} : { authorization: `Bearer ${secrets.token}` };
  const call = async (path: string, init: RequestInit) => {
    const response = await fetch(url + path, { ...init, headers: { ...headers, ...init.headers } }).catch(
      (error: unknown) => Promise.reject(unreachable(url, error)),
    );
    if (!response.ok) throw await refusal(response);
    return response;
  };
  const brief = (signal: AbortSignal) => AbortSignal.any([signal, AbortSignal.timeout(MAX_REQUEST_MS)]);
  return {
    url,
    get: async (path, { signal }) => (await call(path, { signal: brief(signal) })).json(),
    post: async (path, { body, signal }) => {
      const response = await call(path, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
        signal: brief(signal),
      });
      return response.json();
    },
    async stream(path, { signal, lastEventId }) {
      const accept = { accept: "text/event-stream" };
      const { body } = await call(path, {
        signal,
        headers: lastEventId === "" ? accept : { ...accept, "last-event-id": lastEventId },
      });
      if (body === null) throw unreachable(url, new Error("The answer has no body"));
      return body as ReadableStream<Uint8Array<ArrayBuffer>>;
    },
  };
}

/** Whether another try would be refused again. */
export function refusedForGood(error: unknown): boolean {
  return (
    error instanceof RobsonError &&
    !isStoreTrouble(error) &&
    !hasCode(error, "STOPPING", "LEASE_LOST", "RATE_LIMITED", "OVERLOADED", "INTERNAL")
  );
}

/** An agent that listens everywhere is called on this machine. */
function callableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

function unreachable(url: string, error: unknown): RobsonError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return new RobsonError("STORE_UNAVAILABLE", `Cannot reach the agent at ${url}: ${messageOf(cause)}`, {
    hint: "Is it running, and are server.host and server.port in robson.toml its address?",
    cause: error,
  });
}

async function refusal(response: Response): Promise<RobsonError> {
  const parsed = errorSchema.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success) {
    return new RobsonError("INTERNAL", `The agent answered ${response.status} ${response.statusText}`, {
      hint: "Are server.host and server.port in robson.toml the address of Robson?",
    });
  }
  const { code, message, hint } = parsed.data;
  const known = ERROR_CODES.find((each): each is ErrorCode => each === code) ?? "INTERNAL";
  return new RobsonError(known, message, typeof hint === "string" ? { hint } : {});
}
