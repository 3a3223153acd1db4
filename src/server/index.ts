/**
 * The HTTP server: listens, bounds what a client can hold open, and closes without cutting off a request that
 * is under way. What it answers stands in app.ts; gateways and plugins bring their routes.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { getRequestListener, RequestError } from "@hono/node-server";
import type { Hono } from "hono";
import { type Clock, systemClock } from "../core/clock.ts";
import { messageOf, RobsonError } from "../core/errors.ts";
import { type Logger, silentLogger } from "../core/logger.ts";
import { isLoopbackHost } from "./access.ts";
import { createApp, type Health } from "./app.ts";
import type { ConversationReader } from "./conversation-events.ts";
import { type EventRoutes, type EventSource, eventRoutes } from "./event-routes.ts";
import { errorBody, errorResponse } from "./http-errors.ts";
import type { ApiPart } from "./openapi.ts";
import { createRefusalLog } from "./refusal-log.ts";

export interface ServerOptions {
  /** Default: 127.0.0.1. Anything but loopback needs a token. */
  host?: string | undefined;
  /** Default: 7420; 0 takes any free one. */
  port?: number | undefined;
  /** The bearer token that every request but those for health must carry. */
  token?: string | undefined;
  /** Mounted at "/". They throw `RobsonError`s, which are rendered here. */
  routes: readonly Hono[];
  store: ConversationReader;
  health: () => Health;
  /** Default: nothing is logged. */
  log?: Logger | undefined;
  /** What `GET /events` streams; without it there is no such route. */
  events?: EventSource | undefined;
  /** POSTs to these paths need no token where they are signed: their routes check the signature. */
  signedPaths?: readonly string[] | undefined;
  /** What the mounted routes add to the description at `/openapi.json`. */
  api?: (() => readonly ApiPart[]) | undefined;
  /** Default: 1024; beyond it requests get 429. */
  maxConcurrentRequests?: number | undefined;
  /** How much the bodies of requests under way may have together; beyond it requests get 429. Default: 32 MiB. */
  maxBytesUnderWay?: number | undefined;
  /** Of one token, or of all who need none; beyond it requests get 429. Default: 6000. */
  maxRequestsPerMinute?: number | undefined;
  /**
   * Whether a message is for the loop itself, as `/stop`: those have a limit of their own of `maxRequestsPerMinute`.
   * Default: none is; `SensoriumLoop.isControl` knows.
   */
  isControl?: ((content: string) => boolean) | undefined;
  /** How many streams of events may be open; beyond it they get 429. Default: 256. */
  maxEventStreams?: number | undefined;
  /** How much is held for the client of one stream; beyond it events are read again at his pace. Default: 1 MiB. */
  maxStreamBufferBytes?: number | undefined;
  /** How often a stream shows that it is there. Default: 15 s. */
  heartbeatMs?: number | undefined;
  clock?: Clock | undefined;
  /** How long a request may take to arrive, body included. Default: 30 s. */
  requestTimeoutMs?: number | undefined;
  /** How long `close` waits for requests under way. Default: 5 s. */
  closeGraceMs?: number | undefined;
}

export interface RunningServer {
  /** Where it listens, fit to be called by `fetch`. */
  url: string;
  port: number;
  /** What it answers, each as `GET /healthz`. */
  routes: string[];
  /** Stops listening, lets requests under way finish within the grace, and resolves. Safe to call twice. */
  close(): Promise<void>;
}

const DEFAULT_PORT = 7420;
const DEFAULT_MAX_CONCURRENT_REQUESTS = 1024;
const DEFAULT_MAX_BYTES_UNDER_WAY = 32 * 1024 * 1024;
const DEFAULT_MAX_REQUESTS_PER_MINUTE = 6000;
const DEFAULT_MAX_EVENT_STREAMS = 256;
const DEFAULT_MAX_STREAM_BUFFER_BYTES = 1024 * 1024;
const DEFAULT_HEARTBEAT_MS = 15_000;
const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;
const DEFAULT_CLOSE_GRACE_MS = 5000;
const MAX_HEADERS_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 16 * 1024;
const KEEP_ALIVE_TIMEOUT_MS = 5000;
/** How many connections may wait to be taken; Node's 511 keeps those beyond them waiting for seconds. The system may allow fewer. */
const MAX_WAITING_CONNECTIONS = 4096;

/** Resolves once the server listens; rejects with `LISTEN_REFUSED` or `PORT_TAKEN`. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host = "127.0.0.1", port = DEFAULT_PORT, log = silentLogger } = options;
  const token = options.token === "" ? undefined : options.token;
  checkAccess(host, token);
  const clock = options.clock ?? systemClock;
  const events = options.events && streamsOf(options.events, { ...options, log, clock });
  const refusals = createRefusalLog({ clock, log });
  const app = createApp({
    ...options,
    ...{ log, refusals, token, clock, events },
    signedPaths: options.signedPaths ?? [],
    api: options.api ?? (() => []),
    maxConcurrentRequests: options.maxConcurrentRequests ?? DEFAULT_MAX_CONCURRENT_REQUESTS,
    maxBytesUnderWay: options.maxBytesUnderWay ?? DEFAULT_MAX_BYTES_UNDER_WAY,
    maxRequestsPerMinute: options.maxRequestsPerMinute ?? DEFAULT_MAX_REQUESTS_PER_MINUTE,
    isControl: options.isControl ?? (() => false),
  });
  // Leaves its faster Request and Response as the global ones, on purpose: a third less CPU per message.
  const answer = getRequestListener(app.fetch, {
    errorHandler: (error) => errorResponse(error instanceof RequestError ? unreadable(error) : error, log),
  });
  const underWay = new Set<ServerResponse>();
  const server = createServer(httpLimits(options), (request, response) => {
    underWay.add(response);
    response.once("close", () => underWay.delete(response));
    if (!server.listening) response.setHeader("connection", "close");
    void answer(request, response);
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("clientError", (error: Error & { code?: string }, socket) => {
    const isAnswered = [...underWay].some((response) => response.socket === socket && response.headersSent);
    const refusal = overLimit(error.code, options) ?? unreadable(error);
    refuseMalformed(error, { socket: socket as Socket, isAnswered, refusal });
  });
  const listeningPort = await listen(server, { host, port });
  // Without a listener an accept() that fails, as for want of file descriptors, would end the process.
  server.on("error", (error) => log.error({ err: error }, "cannot take a connection"));

  const url = `http://${host.includes(":") ? `[${host}]` : host}:${listeningPort}`;
  log.info({ url }, "listening for HTTP requests");
  if (token === undefined) log.info({ url }, "no token is set: anyone on this machine may post messages");
  let closed: Promise<void> | undefined;
  return {
    url,
    port: listeningPort,
    routes: app.routes
      .filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path}`),
    close: () => {
      events?.close();
      const graceMs = options.closeGraceMs ?? DEFAULT_CLOSE_GRACE_MS;
      closed ??= closeServer(server, { underWay, sockets, graceMs }).then(() => refusals.close());
      return closed;
    },
  };
}

function streamsOf(source: EventSource, options: ServerOptions & { log: Logger; clock: Clock }): EventRoutes {
  return eventRoutes({
    ...source,
    ...{ store: options.store, log: options.log, clock: options.clock },
    maxEventStreams: options.maxEventStreams ?? DEFAULT_MAX_EVENT_STREAMS,
    maxStreamBufferBytes: options.maxStreamBufferBytes ?? DEFAULT_MAX_STREAM_BUFFER_BYTES,
    heartbeatMs: options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS,
  });
}

function checkAccess(host: string, token: string | undefined): void {
  if (token === undefined && !isLoopbackHost(host)) {
    throw new RobsonError(
      "LISTEN_REFUSED",
      `Cannot listen on "${host}" without a token: anyone could post messages`,
      {
        hint: "Set ROBSON_TOKEN (as a library: `token`), or server.host to 127.0.0.1",
      },
    );
  }
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new RobsonError(
      "CONFIG_INVALID",
      "Cannot use the token of the server: an HTTP header cannot carry it",
      {
        hint: "Set ROBSON_TOKEN to ASCII letters, digits and signs without white space, as from: openssl rand -hex 32",
      },
    );
  }
}

function httpLimits({ requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS }: ServerOptions) {
  return {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: Math.min(requestTimeoutMs, MAX_HEADERS_TIMEOUT_MS),
    requestTimeout: requestTimeoutMs,
    // How often Node looks for requests that are over their time.
    connectionsCheckingInterval: Math.min(Math.ceil(requestTimeoutMs / 4), 5000),
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  };
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: unknown) => reject(listenError(error, { host, port }));
    server.once("error", onError);
    try {
      server.listen({ host, port, backlog: MAX_WAITING_CONNECTIONS }, () => {
        server.off("error", onError);
        resolve((server.address() as AddressInfo).port);
      });
    } catch (error) {
      // A port that is no port throws at once.
      onError(error);
    }
  });
}

function listenError(error: unknown, { host, port }: { host: string; port: number }): RobsonError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") {
    return new RobsonError("PORT_TAKEN", `Cannot listen on ${host}:${port}: another program has the port`, {
      hint: "Stop that program, or set another server.port (0 takes any free one)",
      cause: error,
    });
  }
  return new RobsonError("LISTEN_REFUSED", `Cannot listen on ${host}:${port}: ${messageOf(error)}`, {
    hint: "Set server.host to an address of this machine, and server.port to one from 1024 to 65535 (0 takes any free one)",
    cause: error,
  });
}

async function closeServer(
  server: Server,
  { underWay, sockets, graceMs }: { underWay: Set<ServerResponse>; sockets: Set<Socket>; graceMs: number },
): Promise<void> {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  // Ends idle connections at once; the others end with their answer, which therefore must say so.
  server.close(() => resolve());
  for (const response of underWay) if (!response.headersSent) response.setHeader("connection", "close");
  // To Node a connection that has never carried anything is not idle; clients open some in advance.
  for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}

/** What Node could not read as HTTP, answered in our shape. */
function refuseMalformed(
  error: Error & { code?: string },
  { socket, isAnswered, refusal }: { socket: Socket; isAnswered: boolean; refusal: RobsonError },
): void {
  if (error.code === "ECONNRESET" || !socket.writable || isAnswered) {
    socket.destroy();
    return;
  }
  const body = errorBody(refusal);
  const head = [
    `HTTP/1.1 ${statusLineOf(error.code)}`,
    "connection: close",
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
}

function statusLineOf(code: string | undefined): string {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return "408 Request Timeout";
  if (code === "HPE_HEADER_OVERFLOW") return "431 Request Header Fields Too Large";
  return "400 Bad Request";
}

/** What went beyond a limit of the server, with its name; undefined where nothing did. */
function overLimit(code: string | undefined, options: ServerOptions): RobsonError | undefined {
  const { requestTimeout, headersTimeout } = httpLimits(options);
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new RobsonError("MESSAGE_INVALID", "Cannot read the request: it took too long to arrive", {
      hint: `Send its headers within ${headersTimeout} ms, and all of it within ${requestTimeout} ms (server.request_timeout_ms)`,
    });
  }
  if (code !== "HPE_HEADER_OVERFLOW") return undefined;
  return new RobsonError(
    "MESSAGE_INVALID",
    `Cannot read the request: its headers are longer than ${MAX_HEADER_BYTES} bytes`,
    { hint: "Send fewer or shorter headers; what is long belongs into the body" },
  );
}

function unreadable(error: unknown): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot read the request: ${messageOf(error)}`, {
    hint: "Send a complete HTTP/1.1 request",
    cause: error,
  });
}
