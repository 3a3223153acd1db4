/** A server on a socket file: listening when this resolves, and with all its connections gone when it is closed. */
import type { Server } from "node:net";

export interface SocketServer {
  close(): Promise<void>;
}

/** `open` are its connections at any moment, those that it made itself included. */
export async function listenOnSocket(
  server: Server,
  { socketFile, open }: { socketFile: string; open: Iterable<{ destroy(): unknown }> },
): Promise<SocketServer> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketFile, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
