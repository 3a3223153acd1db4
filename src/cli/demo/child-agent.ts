/**
 * `robson agent` as a process of its own, for `robson demo --crash`: so that it can be killed as a power cut would, and
 * started again on what it left.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "../../config/load-config.ts";
import { RobsonError } from "../../core/errors.ts";
import { freePort } from "./free-port.ts";

export interface ChildAgent {
  url: string;
  /** Rejects when the process ends without having been told to. */
  ended: Promise<never>;
  /** SIGKILL, and another process on the same database. */
  crash(): Promise<void>;
  /** Ends it gracefully. */
  stop(): Promise<void>;
}

/** How long a start may take, and how often it is looked at. */
const MAX_START_MS = 30_000;
const LOOK_EVERY_MS = 50;

/** Starts it on the folder's database; resolves when it accepts messages. */
export async function startChildAgent(
  config: Config,
  { directory, signal }: { directory: string; signal: AbortSignal },
): Promise<ChildAgent> {
  const port = await freePort();
  const file = join(directory, "robson.toml");
  await writeFile(file, toml(config, port));
  const url = `http://127.0.0.1:${port}`;
  const unexpected = Promise.withResolvers<never>();
  unexpected.promise.catch(() => undefined);
  let isExpected = false;
  const start = async () => {
    const child = spawn(process.execPath, [...process.execArgv, program(), "--config", file, "agent"], {
      cwd: directory,
      env: {
        ...process.env,
        ROBSON_TOKEN: config.secrets.token,
        ROBSON_WEBHOOK_SECRET: config.secrets.webhookSecret,
      },
      stdio: ["ignore", "ignore", "ignore"],
    });
    child.once("exit", () => {
      if (!isExpected) unexpected.reject(endedError());
    });
    await Promise.race([untilReady(url, signal), unexpected.promise]);
    return child;
  };
  const end = async (child: ChildProcess, name: NodeJS.Signals) => {
    isExpected = true;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill(name);
      await exited;
    }
    isExpected = false;
  };
  let child = await start();
  return {
    url,
    ended: unexpected.promise,
    async crash() {
      await end(child, "SIGKILL");
      child = await start();
    },
    stop: () => end(child, "SIGTERM"),
  };
}

/** The settings of the demo that differ from the defaults, as anyone would write them. */
function toml({ database, webhook, workflow, agents }: Config, port: number): string {
  const text = (value: string) => JSON.stringify(value);
  return `# Made by robson demo
[database]
url = ${text(database.url)}

[server]
port = ${port}

[webhook]
allow_callback_hosts = [${webhook.allowCallbackHosts.map(text).join(", ")}]

[workflow]
work_dir = ${text(workflow.workDir)}
allow_file_repositories = ${workflow.allowFileRepositories}
sandbox = ${text(workflow.sandbox)}

[agents.scripted]
script = ${text(agents.scripted.script ?? "")}
`;
}

async function untilReady(url: string, signal: AbortSignal): Promise<void> {
  const endsAt = Date.now() + MAX_START_MS;
  while (Date.now() < endsAt) {
    signal.throwIfAborted();
    const isReady = await fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  throw endedError();
}

/** The program beside this folder: source or compiled, as this file is. */
function program(): string {
  const extension = extname(fileURLToPath(import.meta.url));
  return fileURLToPath(new URL(`../main${extension}`, import.meta.url));
}

function endedError(): RobsonError {
  return new RobsonError("INTERNAL", "The agent of the demo has ended, or does not start", {
    hint: "Start it by hand in the demo's folder to see why: robson --config robson.toml agent",
  });
}
