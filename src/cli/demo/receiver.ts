/**
 * The receiver of the demo: what a user of the webhook gateway would write. It takes the callbacks of Robson,
 * checks their signatures, and hands over each delivery once.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";

export interface ReceivedDelivery {
  deliveryId: string;
  kind: string;
  content: string;
  attempt: number;
}

export interface Receiver {
  url: string;
  close(): void;
}

/** Listens on a free port of this machine. A delivery whose signature is wrong is refused with 401. */
export async function startReceiver(options: {
  signingSecret: string;
  onDelivery(delivery: ReceivedDelivery): void;
}): Promise<Receiver> {
  const seen = new Set<string>();
  const take = async (request: IncomingMessage): Promise<number> => {
    const delivery = await readDelivery(request, options.signingSecret);
    if (delivery === undefined) return 401;
    // The same id again is the same delivery, sent again because our answer was lost.
    if (!seen.has(delivery.deliveryId)) options.onDelivery(delivery);
    seen.add(delivery.deliveryId);
    return 204;
  };
  const server = createServer((request, response) => {
    take(request).then(
      (status) => response.writeHead(status).end(),
      () => response.writeHead(400).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}/callback`, close };
}

async function readDelivery(request: IncomingMessage, secret: string): Promise<ReceivedDelivery | undefined> {
  const body = await text(request);
  try {
    new Webhook(secret).verify(body, request.headers as Record<string, string>);
  } catch {
    return undefined;
  }
  const { delivery_id, kind, content, attempt } = JSON.parse(body) as Record<string, unknown>;
  return {
    deliveryId: String(delivery_id),
    kind: String(kind),
    content: String(content),
    attempt: Number(attempt),
  };
}
