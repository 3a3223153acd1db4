/**
 * Puts the loop together as the configuration says: every worker, and the gateways that the command brings.
 * All commands that run a loop use this, so that whoever owns the database understands the same messages.
 */
import { hostname } from "node:os";
import type { Config } from "../config/load-config.ts";
import { refusedSetting } from "../config/refused-setting.ts";
import { parseAllowedHosts } from "../core/allowed-hosts.ts";
import { systemClock } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import type { Gateway } from "../core/gateway.ts";
import type { Logger } from "../core/logger.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Worker } from "../core/worker.ts";
import { CLI_GATEWAY, type CliGateway, cliGateway } from "../gateways/cli/index.ts";
import { TUI_GATEWAY } from "../gateways/tui/index.ts";
import { echo } from "../plugins/echo.ts";
import { isOperator } from "../plugins/operator/access.ts";
import { operatorWorkers } from "../plugins/operator/index.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { tryFileLock } from "../store/sqlite/file-lock.ts";
import { localForge } from "../workflow/forges/local/index.ts";
import { checkRepositoryUrl } from "../workflow/repository-url.ts";
import type { TaskRules } from "../workflow/task.ts";
import { localTracker } from "../workflow/trackers/local/index.ts";
import { workflowWorkers } from "../workflow/workers.ts";
import { configuredAgents } from "./configured-agents.ts";
import { gitCredentials } from "./git-settings.ts";
import { addPlugins, loadPlugins } from "./load-plugins.ts";
import { partLog } from "./log.ts";
import { openSandbox } from "./open-sandbox.ts";
import { transcriptsOf } from "./transcripts.ts";

export interface StartLoopOptions {
  store: OpenedStore;
  config: Config;
  log: Logger;
  /** Beside that of the command line, which every loop has. */
  gateways: Gateway[];
  /** True for a command that ends with its own message: then the gateways of plugins do not listen. */
  isForOneMessage?: boolean;
}

export interface PreparedLoop {
  loop: SensoriumLoop;
  /** How the command line hands it messages. */
  cli: CliGateway;
  /** Every worker, those of plugins included, in the order in which they are asked. */
  workers: readonly Worker[];
}

export interface StartedLoop extends PreparedLoop {
  /** Settles when the loop has ended; rejects with why it could not go on. */
  ended: Promise<void>;
}

/** A loop that accepts messages, or the reason why it could not be started. */
export async function startLoop(options: StartLoopOptions): Promise<StartedLoop> {
  return runLoop(await prepareLoop(options));
}

/** A loop with everything that the configuration brings; it works on nothing yet. */
export async function prepareLoop(options: StartLoopOptions): Promise<PreparedLoop> {
  const plugins = await loadPlugins(options.config);
  const cli = cliGateway();
  const { loop, workers } = createLoop({ ...options, gateways: [...options.gateways, cli] });
  // The workers of the operator look into this list: `/why` knows those of plugins too.
  workers.push(...addPlugins(loop, { plugins, hasGateways: options.isForOneMessage !== true }));
  return { loop, cli, workers };
}

/** Every worker that a loop of this configuration has; the loop is put together, and never starts. */
export async function registeredWorkers(
  options: Omit<StartLoopOptions, "gateways">,
): Promise<readonly Worker[]> {
  const { workers } = await prepareLoop({ ...options, gateways: [], isForOneMessage: true });
  return workers;
}

export async function runLoop(prepared: PreparedLoop): Promise<StartedLoop> {
  const { loop, cli } = prepared;
  const ended = loop.run();
  await Promise.race([cli.started, ended]);
  return { ...prepared, ended };
}

function createLoop({ store, config, log, gateways }: StartLoopOptions) {
  const loop = new SensoriumLoop({
    store,
    limits: config.limits,
    access: config.access,
    isOperator: (asker) => isOperator(asker, operatorsOf(config)),
    log: partLog(log, "core"),
    owner: ownerName(),
  });
  const workers = configuredWorkers({ store, config, log });
  for (const worker of workers) loop.registerWorker(worker);
  for (const gateway of gateways) loop.registerGateway(withOwnLog(gateway, log));
  return { loop, workers };
}

/** A gateway that writes to the log of its own part. */
function withOwnLog(gateway: Gateway, log: Logger): Gateway {
  const start: Gateway["start"] = (context) => gateway.start({ ...context, log: partLog(log, gateway.name) });
  return Object.assign(Object.create(gateway) as Gateway, { start });
}

/** How this process calls itself to others that want the same database. */
export function ownerName(): string {
  return `${hostname()}, process ${process.pid}`;
}

/** Every worker but those of plugins, in the order in which they are asked. */
export function configuredWorkers(options: Omit<StartLoopOptions, "gateways">): Worker[] {
  const { store, config } = options;
  const workers: Worker[] = [...configuredWorkflow(options), echo];
  workers.push(
    ...operatorWorkers({
      ...{ store, records: store.operator, limits: config.limits },
      workers: () => workers,
      owner: ownerName(),
      ...operatorsOf(config),
      transcriptsOf: (runId) => transcriptsOf(config, runId),
      clock: systemClock,
    }),
  );
  return workers;
}

/** Who may do what concerns other people's threads and runs. */
function operatorsOf({ operators }: Config) {
  return { operators: operators.users, localGateways: [CLI_GATEWAY, TUI_GATEWAY] };
}

/** What a task may name, by the configuration. */
export function taskRules({ workflow, file }: Config) {
  const { allowFileRepositories: allowFileUrls, allowRepositoryHosts, limits } = workflow;
  for (const [index, host] of allowRepositoryHosts.entries()) {
    try {
      parseAllowedHosts([host]);
    } catch (cause) {
      if (!(cause instanceof RobsonError)) throw cause;
      throw refusedSetting(file, { path: ["workflow", "allow_repository_hosts", index], cause });
    }
  }
  return { allowFileUrls, allowedHosts: parseAllowedHosts(allowRepositoryHosts), limits } satisfies TaskRules;
}

function configuredWorkflow({ store, config, log }: Omit<StartLoopOptions, "gateways">) {
  const rules = taskRules(config);
  const { agent, agents, secrets } = configuredAgents(config);
  const { protect, ...gates } = config.gates;
  return workflowWorkers({
    ...rules,
    tasks: store.tasks,
    runs: store.runs,
    tracker: localTracker({ tasks: store.tasks }),
    forge: localForge({ pullRequests: store.pullRequests }),
    agent,
    agents,
    knownSecrets: secrets,
    workDirectory: config.workflow.workDir,
    tryLock: tryFileLock,
    credentials: gitCredentials(config),
    branchPattern: config.workflow.branchPattern,
    sandbox: openSandbox(config, { env: process.env, cwd: process.cwd(), agentDomains: agent.domains }),
    gates,
    protectedPaths: protect,
    pullRequests: config.workflow.pullRequests,
    permissions: config.workflow.permissions,
    repositories: config.repositories.map(({ url, ...settings }, index) => ({
      ...settings,
      url: repositoryUrl(url, { config, rules, index }),
    })),
    clock: systemClock,
    log: partLog(log, "workflow"),
  });
}

/** The address of one of `[[repositories]]`; what is wrong with it is told with its line. */
function repositoryUrl(
  url: string,
  { config, rules, index }: { config: Config; rules: TaskRules; index: number },
): string {
  try {
    return checkRepositoryUrl(url, rules);
  } catch (cause) {
    if (!(cause instanceof RobsonError)) throw cause;
    throw refusedSetting(config.file, { path: ["repositories", index, "url"], cause });
  }
}
