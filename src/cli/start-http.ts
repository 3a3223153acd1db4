/**
 * The HTTP side of Robson as the configuration has it: the webhook gateway, and the server that it mounts on. With a
 * loop or without one, the routes are the same.
 */
import type { Config } from "../config/load-config.ts";
import { refusedSetting } from "../config/refused-setting.ts";
import { systemClock } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { checkChannelId, parseAllowedHosts } from "../gateways/webhook/callback-address.ts";
import { type WebhookGateway, webhook } from "../gateways/webhook/index.ts";
import { type RunningServer, type ServerOptions, startServer } from "../server/index.ts";
import { runRoutes } from "../server/run-routes.ts";
import { runApi } from "../server/run-schemas.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { partLog } from "./log.ts";
import { type StatusOptions, statusApi, statusRoutes } from "./status-routes.ts";

/** The gateway; whoever runs it hands it `accept`. */
export function configuredWebhook(config: Config, store: OpenedStore): WebhookGateway {
  checkAddresses(config);
  const { webhook: settings, secrets, limits } = config;
  return webhook({
    allowCallbackHosts: settings.allowCallbackHosts,
    signingSecret: secrets.webhookSecret,
    inboundSecret: secrets.webhookInboundSecret,
    sendTimeoutMs: limits.sendTimeoutMs,
    maxBodyBytes: settings.maxBodyBytes,
    defaultChannelId: settings.defaultChannel,
    subscribers: store.subscribers,
    maxSubscribers: settings.maxSubscribers,
  });
}

/** What the gateway would refuse without knowing where it stands. */
function checkAddresses({ webhook: { allowCallbackHosts, defaultChannel }, file }: Config): void {
  const check = (path: (string | number)[], attempt: () => unknown) => {
    try {
      attempt();
    } catch (cause) {
      if (!(cause instanceof RobsonError)) throw cause;
      throw refusedSetting(file, { path: ["webhook", ...path], cause });
    }
  };
  for (const [index, host] of allowCallbackHosts.entries())
    check(["allow_callback_hosts", index], () => parseAllowedHosts([host]));
  if (defaultChannel === undefined) return;
  check(["default_channel"], () => checkChannelId(defaultChannel, parseAllowedHosts(allowCallbackHosts)));
}

export interface StartHttpOptions {
  store: OpenedStore;
  config: Config;
  log: Logger;
  gateway: WebhookGateway;
  health: ServerOptions["health"];
  /** See `SensoriumLoop`. */
  isControl(content: string): boolean;
  /** How the loop is, for `GET /status`; left out where there is no loop. */
  status?: StatusOptions;
  /** Tells that events may have been stored; without it the streams look for them. */
  onEvents?: (callback: () => void) => () => void;
}

/** A server that listens, with everything that Robson answers over HTTP. */
export function startHttp(options: StartHttpOptions): Promise<RunningServer> {
  const { store, config, log, gateway, health, isControl, status, onEvents } = options;
  return startServer({
    ...config.server,
    token: config.secrets.token,
    routes: [
      gateway.routes,
      runRoutes({ store, clock: systemClock }),
      ...(status ? [statusRoutes(status)] : []),
    ],
    signedPaths: gateway.signedPaths,
    api: () => [gateway.api(), runApi(), ...(status ? [statusApi()] : [])],
    events: { feed: store.feed, onEvents },
    ...{ store, health, isControl, log: partLog(log, "http") },
  });
}
