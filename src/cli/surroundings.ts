/** What a command of an operator knows beside the records: who runs the loop, and which gateways run there. */
import type { Config } from "../config/load-config.ts";
import { hasCode, messageOf } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import type { Worker } from "../core/worker.ts";
import { CLI_GATEWAY } from "../gateways/cli/index.ts";
import { TUI_GATEWAY } from "../gateways/tui/index.ts";
import { type Facts, routeFacts } from "../plugins/operator/facts.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { toFacts } from "./message-view.ts";
import { configuredWebhook } from "./start-http.ts";
import { configuredWorkers, registeredWorkers } from "./start-loop.ts";
import { type AgentStatus, statusSchema } from "./status-routes.ts";
import { robsonClient } from "./tui/robson-client.ts";

/** How long a running agent may take to say how it is. */
const MAX_STATUS_MS = 3000;

/** How the agent at the configured address is; undefined where none of these answers there. */
export async function agentStatus(
  config: Config,
  owners: readonly string[],
): Promise<AgentStatus | undefined> {
  if (owners.length === 0) return undefined;
  const { data } = statusSchema.safeParse(await asked(config, "/status"));
  return data !== undefined && owners.includes(data.process) ? data : undefined;
}

/** Says that nobody could be asked. */
export function notAnswering(owners: readonly string[]): string {
  return owners.length === 1
    ? `${owners[0]} runs the loop, but does not answer at the configured address`
    : `${owners.length} processes run the loop, but none of them answers at the configured address`;
}

/** What the agent answers; undefined for any trouble. */
function asked(config: Config, path: string): Promise<unknown> {
  const signal = AbortSignal.timeout(MAX_STATUS_MS);
  return robsonClient(config)
    .get(path, { signal })
    .catch(() => undefined);
}

interface Asking {
  config: Config;
  warn: (text: string) => void;
}

/**
 * Gathers the facts about messages: what is on record, and beside it what the running agent says of its workers,
 * gateways and limits. Where it cannot be asked, those of this command's configuration, with a word on it.
 */
export async function factsFinder(
  store: OpenedStore,
  { config, warn }: Asking,
): Promise<(conversationId: number) => Promise<Facts | undefined>> {
  const owners = await store.currentOwners();
  const status = await agentStatus(config, owners);
  const answering = status?.process;
  if (owners.length > 0 && !status)
    warn(`${notAnswering(owners)}: workers, gateways and limits are told as they are configured here`);
  const gateways = status
    ? { names: status.gateways.map(({ name }) => name), isConfiguration: false }
    : { names: configuredGateways(store, config), isConfiguration: true };
  let workers: Promise<readonly Worker[]> | undefined;
  return async (conversationId) => {
    const records = await store.operator.facts(conversationId);
    if (!records) return undefined;
    const view = status && toFacts(await asked(config, `/status/messages/${conversationId}`));
    if (view) return { ...records, owners, answering, gateways, ...view };
    workers ??= workersOf(store, { config, warn });
    const route = routeFacts(records.message, await workers);
    return {
      ...records,
      ...{ owners, answering },
      gateways: { ...gateways, isConfiguration: true },
      limits: config.limits,
      route,
    };
  };
}

/**
 * The workers that a loop of this configuration has, for `why` to ask how a message is routed. Where a plugin cannot
 * be used, those of Robson itself, with a word on it: what is on record is told all the same.
 */
export async function workersOf(store: OpenedStore, { config, warn }: Asking): Promise<readonly Worker[]> {
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
