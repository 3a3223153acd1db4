/** A port for a program that is yet to start, and may end and start again there. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below what systems give to those who ask for any port. */
const [FIRST_PORT, LAST_PORT] = [15_000, 32_000] as const;

/**
 * A port that nothing listens on at this moment, and that the system gives to nobody who asks for any: what other
 * programs open until it is listened on does not take it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) return port;
  }
}

/** Rejects where it is not for a program that listens there: then no other port can be had either. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return false;
    throw error;
  }
  server.close();
  await once(server, "close");
  return true;
}
