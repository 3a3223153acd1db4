/** What a command of an operator knows beside the records: who owns the database, and which gateways run there. */
import type { Config } from "../config/load-config.ts";
import { hasCode, messageOf } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import type { Worker } from "../core/worker.ts";
import { CLI_GATEWAY } from "../gateways/cli/index.ts";
import { TUI_GATEWAY } from "../gateways/tui/index.ts";
import type { Surroundings } from "../plugins/operator/facts.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { configuredWebhook } from "./start-http.ts";
import { configuredWorkers, registeredWorkers } from "./start-loop.ts";
import { type AgentStatus, statusSchema } from "./status-routes.ts";
import { robsonClient } from "./tui/robson-client.ts";

/** How long a running agent may take to say how it is. */
const MAX_STATUS_MS = 3000;

/** How the agent at the configured address is; undefined where none answers there. */
export async function agentStatus(config: Config): Promise<AgentStatus | undefined> {
  const signal = AbortSignal.timeout(MAX_STATUS_MS);
  const answer = await robsonClient(config)
    .get("/status", { signal })
    .catch(() => undefined);
  return statusSchema.safeParse(answer).data;
}

/** By the running agent where there is one, else by the configuration. */
export async function surroundings(store: OpenedStore, config: Config): Promise<Surroundings> {
  const owner = await store.currentOwner();
  const status = owner === undefined ? undefined : await agentStatus(config);
  const gateways = status
    ? { names: status.gateways.map(({ name }) => name), isConfiguration: false }
    : { names: configuredGateways(store, config), isConfiguration: true };
  return { owner, gateways, limits: config.limits };
}

/**
 * The workers that a loop of this configuration has, for `why` to ask how a message is routed. Where a plugin cannot
 * be used, those of Robson itself, with a word on it: what is on record is told all the same.
 */
export async function workersOf(
  store: OpenedStore,
  { config, warn }: { config: Config; warn: (text: string) => void },
): Promise<readonly Worker[]> {
  const options = { store, config, log: silentLogger };
  try {
    return await registeredWorkers(options);
  } catch (error) {
    if (!hasCode(error, "PLUGIN_INVALID") && !hasCode(error, "CONFIG_INVALID")) throw error;
    warn(`The workers of plugins are left out: ${messageOf(error)}`);
    return configuredWorkers(options);
  }
}

function configuredGateways(store: OpenedStore, config: Config): string[] {
  return [configuredWebhook(config, store).name, CLI_GATEWAY, TUI_GATEWAY];
}
