/**
 * A pooler as PgBouncer with `pool_mode = transaction`: each transaction of a client is carried out over the connection
 * that has been idle for longest, whoever used it before. Clients are told a process id that is not the server's.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface TransactionPooler {
  /** The database's URL through the pooler. */
  url: string;
  close(): Promise<void>;
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
const READY = "Z".charCodeAt(0);
const TERMINATE = "X".charCodeAt(0);
const IDLE = "I".charCodeAt(0);
const PROTOCOL_3 = 196_608;
const HEADER_BYTES = 5;
/** AuthenticationOk, BackendKeyData of process 1, ReadyForQuery. */
const WELCOME = Buffer.from("5200000008000000004b0000000c00000001000000015a0000000549", "hex");

interface Client {
  socket: Socket;
  /** What it has said and no server has heard. */
  unsent: Buffer[];
  server: Server | undefined;
}

interface Server {
  socket: Socket;
  client: Client | undefined;
}

/** With a `refusal`, in its own words, nobody is let in. */
export async function startTransactionPooler(
  databaseUrl: string,
  { connections = 3, refusal = "" } = {},
): Promise<TransactionPooler> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  const idle: Server[] = [];
  const waiting: Client[] = [];

  const serve = () => {
    while (idle.length > 0 && waiting.length > 0) {
      const [server, client] = [idle.shift() as Server, waiting.shift() as Client];
      server.client = client;
      client.server = server;
      for (const message of client.unsent.splice(0)) server.socket.write(message);
    }
  };
  const addServer = () => {
    const server: Server = {
      socket: keep(sockets, connect(Number(target.port), target.hostname)),
      client: undefined,
    };
    server.socket.write(startup(target));
    server.socket.on(
      "data",
      messages((message) => {
        if (server.client && message[0] !== undefined) server.client.socket.write(message);
        if (message[0] !== READY || message[HEADER_BYTES] !== IDLE) return;
        if (server.client) server.client.server = undefined;
        server.client = undefined;
        idle.push(server);
        serve();
      }),
    );
  };
  const welcome = (socket: Socket) => {
    const client: Client = { socket: keep(sockets, socket), unsent: [], server: undefined };
    // Who leaves in the middle of a transaction takes the connection along.
    socket.on("close", () => {
      if (waiting.includes(client)) waiting.splice(waiting.indexOf(client), 1);
      if (!client.server) return;
      client.server.socket.destroy();
      addServer();
    });
    socket.once("data", () => {
      if (refusal) return void socket.end(protocolError(refusal));
      socket.write(WELCOME);
      socket.on(
        "data",
        messages((message) => {
          if (message[0] === TERMINATE) return void socket.end();
          if (client.server) return void client.server.socket.write(message);
          if (client.unsent.length === 0) waiting.push(client);
          client.unsent.push(message);
          serve();
        }),
      );
    });
  };

  const listener = createServer(welcome).listen(0, "127.0.0.1");
  await once(listener, "listening");
  for (let count = 0; count < connections; count += 1) addServer();
  const url = new URL(databaseUrl);
  url.port = String((listener.address() as AddressInfo).port);
  return {
    url: url.href,
    async close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
}

function keep(sockets: Set<Socket>, socket: Socket): Socket {
  sockets.add(socket.setNoDelay());
  socket.on("error", () => socket.destroy());
  return socket;
}

function startup({ username, pathname }: URL): Buffer {
  const text = `user\0${username}\0database\0${pathname.slice(1)}\0\0`;
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + Buffer.byteLength(text), 0);
  head.writeInt32BE(PROTOCOL_3, 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** As PgBouncer answers what it does not do: ErrorResponse with PROTOCOL_VIOLATION. */
function protocolError(text: string): Buffer {
  const fields = Buffer.from(`SFATAL\0C08P01\0M${text}\0\0`);
  const head = Buffer.from("E\0\0\0\0");
  head.writeInt32BE(4 + fields.length, 1);
  return Buffer.concat([head, fields]);
}

/** Hands on whole messages: one byte for the type, then the length without that byte. */
function messages(onMessage: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER_BYTES) {
      const length = 1 + rest.readInt32BE(1);
      if (rest.length < length) break;
      const message = rest.subarray(0, length);
      rest = rest.subarray(length);
      onMessage(message);
    }
  };
}
