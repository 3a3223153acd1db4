/**
 * The whole of a running Robson: the loop, the webhook gateway and the server that it mounts on. `robson agent`
 * and the demo start the same thing.
 */
import type { Config } from "../config/load-config.ts";
import { systemClock } from "../core/clock.ts";
import type { Gateway } from "../core/gateway.ts";
import type { Logger } from "../core/logger.ts";
import { Retention } from "../core/retention.ts";
import type { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Worker } from "../core/worker.ts";
import { TUI_GATEWAY } from "../gateways/tui/index.ts";
import type { RunningServer } from "../server/index.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { HouseKeeping } from "./house-keeping.ts";
import { LOG_PARTS, partLog } from "./log.ts";
import { configuredWebhook, startHttp } from "./start-http.ts";
import { ownerName, prepareLoop, runLoop } from "./start-loop.ts";
import { configuredScheduler } from "./start-scheduler.ts";

export interface RunningAgent {
  /** Where its server listens. */
  url: string;
  workers: readonly Worker[];
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
  /** Beside the webhook gateway. */
  gateways?: Gateway[];
}): Promise<RunningAgent> {
  const { store, config, log, gateways = [] } = options;
  const gateway = configuredWebhook(config, store);
  const scheduler = configuredScheduler({ store, config, log });
  const retention = new Retention({
    ...{ store: store.retention, rules: config.retention, clock: systemClock },
    log: partLog(log, "core"),
  });
  const houseKeeping = new HouseKeeping({ store, config, clock: systemClock, log: partLog(log, "workflow") });
  const prepared = await prepareLoop({ store, config, log, gateways: [gateway, ...gateways] });
  const { loop } = prepared;
  // That another process has the database is the better news than that it has the port; and nothing is worked on
  // before it is certain that the whole of it can run.
  await loop.own();
  let server: RunningServer | undefined;
  try {
    const listening = await startHttp({
      ...{ store, config, log, gateway },
      health: () => loop.health(),
      isControl: (content) => loop.isControl(content),
      status: {
        ...{ store, process: ownerName(), limits: config.limits, workers: () => prepared.workers },
        health: () => loop.health(),
        openMessages: () => loop.control?.openMessages() ?? [],
      },
      onEvents: (callback) => loop.onEvents(callback),
    });
    server = listening;
    const { ended: loopEnded } = await runLoop(prepared);
    warnOfUnknownNames({ config, log, loop });
    scheduler.start();
    retention.start();
    houseKeeping.start();
    const ended = loopEnded.finally(() =>
      Promise.all([listening.close(), scheduler.stop(), retention.stop(), houseKeeping.stop()]),
    );
    // Whoever awaits it hears of a failure; until someone does, it must not count as unhandled.
    ended.catch(() => undefined);
    return {
      url: listening.url,
      workers: prepared.workers,
      ended,
      stop: async () => {
        await Promise.all([scheduler.stop(), retention.stop(), houseKeeping.stop()]);
        await stop(listening, loop);
      },
    };
  } catch (error) {
    await server?.close();
    await loop.stop();
    throw error;
  }
}

/** The server first, so that nobody is answered who would be refused a moment later. */
async function stop(server: RunningServer, loop: SensoriumLoop): Promise<void> {
  await server.close();
  await loop.stop();
}

/** A slip in `[access]` leaves a gateway open that was meant to be closed, one in `[log.levels]` changes nothing. */
function warnOfUnknownNames(options: { config: Config; log: Logger; loop: SensoriumLoop }): void {
  const { config, log, loop } = options;
  const gateways = [...loop.health().gateways.map(({ name }) => name), TUI_GATEWAY];
  const { listedGateways, openGateways } = config.access;
  for (const gateway of [...listedGateways, ...openGateways]) {
    if (!gateways.includes(gateway)) log.warn({ gateway }, "[access] names a gateway that does not run here");
  }
  const parts = [...LOG_PARTS, ...gateways];
  for (const part of Object.keys(config.log.levels)) {
    if (!parts.includes(part)) log.warn({ part, parts }, "[log.levels] names a part that is not there");
  }
}
