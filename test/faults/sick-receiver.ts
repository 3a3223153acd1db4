/** A receiver of callbacks that is not well, for the tests of faults. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { TestEnd } from "../../src/testing/temporary-folder.ts";

export interface SickReceiver {
  url: string;
  /** The ids of the deliveries that it took. */
  taken: Set<string>;
  heal(): void;
}

/** A receiver that treats each connection as it likes, until it is healed; then it takes what comes. */
export async function startSickReceiver(t: TestEnd, act: (socket: Socket) => void): Promise<SickReceiver> {
  const taken = new Set<string>();
  const sockets = new Set<Socket>();
  let isSick = true;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("data", (chunk) => {
      if (isSick) return act(socket);
      const [, id = ""] = /^webhook-id: (\S+)/im.exec(chunk.toString("latin1")) ?? [];
      taken.add(id);
      socket.end("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/`,
    taken,
    heal() {
      isSick = false;
    },
  };
}
