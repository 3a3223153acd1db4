/** For tests of what a PostgreSQL server carries out long after the connection that sent it is gone. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TestEnd } from "../temporary-folder.ts";

/** A network to the server that loses the first connection which sends a text with `late` in it, and brings that later on. */
export async function startLateNetwork(
  t: TestEnd,
  { url: databaseUrl, late }: { url: string; late: string },
) {
  const target = new URL(databaseUrl);
  const lost = Promise.withResolvers<{ upstream: Socket; sent: Buffer }>();
  let isLost = false;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    upstream.on("error", () => client.destroy());
    client.on("error", () => undefined);
    upstream.on("data", (chunk) => client.write(chunk));
    client.on("data", (chunk: Buffer) => {
      if (isLost || !chunk.includes(late)) return void upstream.write(chunk);
      isLost = true;
      client.removeAllListeners("close");
      client.destroy();
      lost.resolve({ upstream, sent: chunk });
    });
    client.on("close", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.onTestFinished(async () => void server.close());
  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    isLost: lost.promise,
    async comesLate() {
      const { upstream, sent } = await lost.promise;
      upstream.write(sent);
      await once(upstream, "data");
      upstream.destroy();
    },
  };
}
