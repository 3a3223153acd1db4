/**
 * Puts the loop together as the configuration says: every worker, and the gateways that the command brings.
 * All commands that run a loop use this, so that whoever owns the database understands the same messages.
 */
import { hostname } from "node:os";
import type { Config } from "../config/load-config.ts";
import { systemClock } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import type { Gateway } from "../core/gateway.ts";
import type { Logger } from "../core/logger.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import { type CliGateway, cliGateway } from "../gateways/cli/index.ts";
import { echo } from "../plugins/echo.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { scriptedAgent } from "../workflow/agents/scripted/index.ts";
import type { CodingAgent } from "../workflow/coding-agent.ts";
import { localForge } from "../workflow/forges/local/index.ts";
import { checkRepositoryUrl } from "../workflow/repository-url.ts";
import type { TaskRules } from "../workflow/task.ts";
import { localTracker } from "../workflow/trackers/local/index.ts";
import { workflowWorkers } from "../workflow/workers.ts";

export interface StartLoopOptions {
  store: OpenedStore;
  config: Config;
  log: Logger;
  /** Beside that of the command line, which every loop has. */
  gateways: Gateway[];
}

export interface StartedLoop {
  loop: SensoriumLoop;
  /** How the command line hands it messages. */
  cli: CliGateway;
  /** Settles when the loop has ended; rejects with why it could not go on. */
  ended: Promise<void>;
}

/** A loop that accepts messages, or the reason why it could not be started. */
export async function startLoop(options: StartLoopOptions): Promise<StartedLoop> {
  const cli = cliGateway();
  const loop = createLoop({ ...options, gateways: [...options.gateways, cli] });
  const ended = loop.run();
  await Promise.race([cli.started, ended]);
  return { loop, cli, ended };
}

function createLoop({ store, config, log, gateways }: StartLoopOptions): SensoriumLoop {
  const loop = new SensoriumLoop({
    store,
    limits: config.limits,
    log,
    owner: `${hostname()}, process ${process.pid}`,
  });
  for (const worker of [...configuredWorkflow({ store, config, log }), echo]) loop.registerWorker(worker);
  for (const gateway of gateways) loop.registerGateway(gateway);
  return loop;
}

/** What a task may name, by the configuration. */
export function taskRules({ workflow }: Config) {
  return { allowFileUrls: workflow.allowFileRepositories, limits: workflow.limits } satisfies TaskRules;
}

function configuredWorkflow({ store, config, log }: Omit<StartLoopOptions, "gateways">) {
  const rules = taskRules(config);
  return workflowWorkers({
    ...rules,
    tasks: store.tasks,
    tracker: localTracker({ tasks: store.tasks }),
    forge: localForge({ pullRequests: store.pullRequests }),
    agent: configuredAgent(config),
    workDirectory: config.workflow.workDir,
    repositories: config.repositories.map(({ url, ...settings }) => ({
      ...settings,
      url: checkRepositoryUrl(url, rules),
    })),
    clock: systemClock,
    log,
  });
}

function configuredAgent({ agents, workflow }: Config): CodingAgent {
  const { script } = agents.scripted;
  if (script !== undefined) return scriptedAgent({ scriptFile: script, limits: workflow.limits });
  return {
    name: "scripted",
    async run() {
      throw new RobsonError("AGENT_FAILED", 'Cannot run the agent "scripted": it has no script', {
        hint: "Set agents.scripted.script in robson.toml, or try `robson demo`, which brings its own",
      });
    },
  };
}
