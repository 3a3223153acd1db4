/**
 * The whole of a running Robson: the loop, the webhook gateway and the server that it mounts on. `robson agent`
 * and the demo start the same thing.
 */
import type { Config } from "../config/load-config.ts";
import type { Logger } from "../core/logger.ts";
import type { SensoriumLoop } from "../core/sensorium-loop.ts";
import { type WebhookGateway, webhook } from "../gateways/webhook/index.ts";
import { type RunningServer, startServer } from "../server/index.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { startLoop } from "./start-loop.ts";

export interface RunningAgent {
  /** Where its server listens. */
  url: string;
  /** Settles when the loop has ended; the server is closed then. */
  ended: Promise<void>;
  /** Ends it gracefully. Safe to call twice. */
  stop(): Promise<void>;
}

/** Loop and server under way: accepts messages when this resolves. */
export async function startAgent(options: {
  store: OpenedStore;
  config: Config;
  log: Logger;
}): Promise<RunningAgent> {
  const { store, config, log } = options;
  const gateway = configuredWebhook(config);
  // The loop first: that another process has the database is the better news than that it has the port.
  const { loop, ended: loopEnded } = await startLoop({ store, config, log, gateways: [gateway] });
  try {
    const { host, port, maxConcurrentRequests, requestTimeoutMs, closeGraceMs } = config.server;
    const server = await startServer({
      ...{ host, port, maxConcurrentRequests, requestTimeoutMs, closeGraceMs },
      token: config.secrets.token,
      routes: [gateway.routes],
      store,
      health: () => loop.health(),
      log,
    });
    const ended = loopEnded.finally(() => server.close());
    // Whoever awaits it hears of a failure; until someone does, it must not count as unhandled.
    ended.catch(() => undefined);
    return {
      url: server.url,
      ended,
      stop: () => stop(server, loop),
    };
  } catch (error) {
    await loop.stop();
    throw error;
  }
}

/** The server first, so that nobody is answered who would be refused a moment later. */
async function stop(server: RunningServer, loop: SensoriumLoop): Promise<void> {
  await server.close();
  await loop.stop();
}

function configuredWebhook({ webhook: settings, secrets, limits }: Config): WebhookGateway {
  return webhook({
    allowCallbackHosts: settings.allowCallbackHosts,
    signingSecret: secrets.webhookSecret,
    sendTimeoutMs: limits.sendTimeoutMs,
    maxBodyBytes: settings.maxBodyBytes,
    defaultChannelId: settings.defaultChannel,
  });
}
