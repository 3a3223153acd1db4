/**
 * The network between a process and its PostgreSQL, as a test breaks it: connections are cut, new ones refused, and
 * notifications lost, as behind a pooler that shares connections between clients.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface PostgresProxy {
  /** The database's URL through the proxy. */
  url: string;
  /** Cuts every connection, and refuses new ones until `heal`. */
  cut(): void;
  heal(): void;
  /** Lets nothing through, either way, until `thaw`: who is behind it stands still. */
  freeze(): void;
  thaw(): void;
  /**
   * Cuts the connection that gets the server's answer of that number from now on, without that answer: before, between
   * or behind the statements of a transaction. 0: none.
   */
  cutAtAnswer(number: number): void;
  /** From now on no connection hears a notification. */
  loseNotifications(): void;
  close(): Promise<void>;
}

/** `A`: NotificationResponse, https://www.postgresql.org/docs/current/protocol-message-formats.html */
const NOTIFICATION = "A".charCodeAt(0);
/** `Z`: ReadyForQuery, behind each answer. */
const READY = "Z".charCodeAt(0);
/** A message from the server: one byte for its type, then its length without that byte. */
const HEADER_BYTES = 5;

export async function startPostgresProxy(databaseUrl: string): Promise<PostgresProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let isCut = false;
  let isFrozen = false;
  let losesNotifications = false;
  let answersLeft = 0;
  const isLastAnswer = (type: number) => {
    if (type !== READY || answersLeft === 0) return false;
    answersLeft -= 1;
    return answersLeft === 0;
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    return socket;
  };
  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    const upstream = keep(connect(Number(target.port), target.hostname));
    keep(client).on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    client.pipe(upstream);
    const filter = messageFilter((type) => {
      if (isLastAnswer(type)) client.destroy();
      return !(losesNotifications && type === NOTIFICATION);
    });
    upstream.on("data", (chunk) => client.write(filter(chunk)));
    if (isFrozen) for (const socket of [client, upstream]) socket.pause();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    cut,
    heal() {
      isCut = false;
    },
    freeze() {
      isFrozen = true;
      for (const socket of sockets) socket.pause();
    },
    thaw() {
      isFrozen = false;
      for (const socket of sockets) socket.resume();
    },
    cutAtAnswer(number) {
      answersLeft = number;
    },
    loseNotifications() {
      losesNotifications = true;
    },
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}

/** Lets whole messages through, those that `passes`; our clients ask for no TLS, whose answer has no header. */
function messageFilter(passes: (type: number) => boolean): (chunk: Buffer) => Buffer {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const passed: Buffer[] = [];
    while (rest.length >= HEADER_BYTES) {
      const length = 1 + rest.readInt32BE(1);
      if (rest.length < length) break;
      if (passes(rest[0] ?? 0)) passed.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    return Buffer.concat(passed);
  };
}
