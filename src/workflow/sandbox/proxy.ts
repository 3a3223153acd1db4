/**
 * The only way out of a sandbox with an allow list: an HTTP proxy on a socket file, one for each program, which
 * looks at the host that is asked for, resolves it itself, and connects to an address that it has checked. It does not look
 * into encrypted connections: behind an allowed name lies whatever its server has.
 */
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import { connect, type LookupFunction, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SandboxLimits } from "../limits.ts";
import type { Lookup } from "../repository-host.ts";
import { type AllowedDomain, resolveTarget, type Target } from "./domains.ts";
import { listenOnSocket } from "./socket-server.ts";

export interface ProxyOptions {
  /** The path of its socket. */
  socketFile: string;
  allowed: readonly AllowedDomain[];
  limits: Pick<SandboxLimits, "maxConnections" | "connectTimeoutMs" | "idleConnectionMs">;
  lookup?: Lookup | undefined;
}

export interface ProxyServer {
  /** Ends all connections. Safe to call twice. */
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 32 * 1024;
/** Not for the next hop. */
const HOP_HEADERS = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Listens until it is closed. */
export async function startProxy(options: ProxyOptions): Promise<ProxyServer> {
  const { socketFile, limits } = options;
  const open = new Set<Duplex>();
  const keep = (socket: Duplex) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    // What goes wrong with one connection ends that connection, at both ends.
    socket.on("error", () => socket.destroy());
  };
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES });
  server.maxConnections = limits.maxConnections;
  server.headersTimeout = limits.connectTimeoutMs;
  server.requestTimeout = 0;
  server.on("connection", keep);
  server.on("connect", (asked: IncomingMessage, socket: Duplex, head: Buffer) => {
    tunnel({ asked, socket, head }, { ...options, keep }).catch(() => socket.destroy());
  });
  server.on("upgrade", (_asked: IncomingMessage, socket: Duplex) => socket.destroy());
  server.on("request", (asked, answer) => {
    forward({ asked, answer }, options).catch(() => answer.destroy());
  });
  return listenOnSocket(server, { socketFile, open });
}

/** CONNECT: bytes both ways, once the host is found good. */
async function tunnel(
  { asked, socket, head }: { asked: IncomingMessage; socket: Duplex; head: Buffer },
  options: ProxyOptions & { keep: (socket: Duplex) => void },
): Promise<void> {
  const target = readAuthority(asked.url ?? "");
  const addresses = target ? await resolveTarget(target, options) : { refused: "the host is not readable" };
  if ("refused" in addresses || target === undefined) {
    const text = refusalText("refused" in addresses ? addresses.refused : "");
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    return;
  }
  const far = connect({
    host: target.host,
    port: target.port,
    lookup: fixed(addresses),
    autoSelectFamily: true,
  });
  options.keep(far);
  await connected(far, options.limits.connectTimeoutMs).catch(() => {
    socket.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    throw new Error("not reached");
  });
  if (socket.destroyed) return void far.destroy();
  far.setTimeout(options.limits.idleConnectionMs, () => far.destroy());
  far.once("close", () => socket.destroy());
  socket.once("close", () => far.destroy());
  socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
  if (head.length > 0) far.write(head);
  socket.pipe(far).pipe(socket);
}

/** A plain request with its whole address: sent on with the same method and body, to the host of the address. */
async function forward(
  { asked, answer }: { asked: IncomingMessage; answer: ServerResponse },
  options: ProxyOptions,
): Promise<void> {
  const url = URL.parse(asked.url ?? "");
  const target = url?.protocol === "http:" && url.username === "" ? targetOf(url) : undefined;
  const addresses = target
    ? await resolveTarget(target, options)
    : { refused: "the address is not readable" };
  if (url === null || target === undefined || "refused" in addresses) {
    const text = refusalText("refused" in addresses ? addresses.refused : "");
    answer.writeHead(403, { "content-type": "text/plain", connection: "close" }).end(text);
    return;
  }
  const far = request({
    host: target.host,
    port: target.port,
    lookup: fixed(addresses),
    method: asked.method,
    path: `${url.pathname}${url.search}`,
    headers: { ...withoutHops(asked), host: url.host },
    agent: false,
    timeout: options.limits.idleConnectionMs,
  });
  relayAnswer(far, answer);
  asked.pipe(far);
}

function relayAnswer(far: ClientRequest, answer: ServerResponse): void {
  far.on("timeout", () => far.destroy());
  far.on("error", () => {
    if (answer.headersSent) answer.destroy();
    else answer.writeHead(502, { connection: "close" }).end();
  });
  far.on("response", (response) => {
    answer.writeHead(response.statusCode ?? 502, withoutHops(response));
    response.on("error", () => answer.destroy());
    response.pipe(answer);
  });
  answer.once("close", () => far.destroy());
}

function withoutHops({ headers }: IncomingMessage): Record<string, string | string[]> {
  const named = (headers.connection ?? "").toLowerCase().split(/\s*,\s*/);
  const kept = Object.entries(headers).filter(
    ([name, value]) => value !== undefined && !HOP_HEADERS.includes(name) && !named.includes(name),
  );
  return Object.fromEntries(kept) as Record<string, string | string[]>;
}

function readAuthority(text: string): Target | undefined {
  const [, host, port] = /^(\[[^\]]+\]|[^:/@[\]]+):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) return undefined;
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port: Number(port) };
}

function targetOf({ hostname, port }: URL): Target {
  return { host: hostname.startsWith("[") ? hostname.slice(1, -1) : hostname, port: Number(port || 80) };
}

/** Hands out what was checked, whatever the name leads to by now. */
function fixed(addresses: { address: string; family: number }[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first] = addresses;
    if (all === true || first === undefined) callback(null, addresses);
    else callback(null, first.address, first.family);
  };
}

function connected(socket: Socket, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error("too slow")), timeoutMs);
    socket.once("connect", () => resolve());
    socket.once("close", () => reject(new Error("closed")));
    socket.once("connect", () => clearTimeout(timer));
    socket.once("close", () => clearTimeout(timer));
  });
}

function refusalText(why: string): string {
  return `Refused by Robson's sandbox: ${why.replace(/[^\x20-\x7e]/g, "?")}\n`;
}
