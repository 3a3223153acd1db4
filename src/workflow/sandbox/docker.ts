/**
 * The sandbox of a container, where an engine runs: an image with what the project needs, without rights, without a
 * network but for the proxy's socket. Tested in how it is put together; not against an engine. The container
 * outlives a `docker` that is killed, so `close` removes it, and it carries a label by which leftovers are found.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { WorkerError } from "../../core/errors.ts";
import { runProcess } from "../child-process.ts";
import { DEFAULT_WORKFLOW_LIMITS, type SandboxLimits } from "../limits.ts";
import type { Program, Sandbox, SandboxedProgram, SandboxRules } from "../sandbox.ts";
import { watchDisk } from "./disk-watch.ts";
import { proxyEnvironment, splitEnvironment } from "./environment.ts";
import { INNER_SCRIPT, PROXY_PORT } from "./launch-script.ts";
import { openProxies } from "./proxies.ts";
import { type Opening, openingsOf } from "./rules.ts";
import { isOfLivingProcess, makeRuntimeFolder, ownMark, removeRuntimeFolder } from "./runtime-folder.ts";
import { findTool } from "./system-tools.ts";

export interface DockerOptions {
  /** With a shell, the agent, and what the project's checks need; with allowed domains also socat and grep. */
  image: string;
  limits: SandboxLimits;
  protectedPaths: readonly string[];
}

const LABEL = "robson.sandbox";
const PREFIX = "robson-sandbox-";
const DOCKER_TIMEOUT_MS = 60_000;
const MIB = 1024 * 1024;

export function dockerSandbox(options: DockerOptions): Sandbox {
  return {
    name: "docker",
    check: ({ signal }) => check(options, signal),
    wrap: (program, rules) => wrap(program, rules, options),
  };
}

export interface DockerRequest {
  program: Program;
  openings: readonly Opening[];
  /** The folder with the proxy's sockets; none: no network. */
  sockets?: string | undefined;
  relays: readonly { port: number; socketFile: string }[];
  name: string;
  /** Whose files the container writes: `uid:gid`. */
  user: string;
  image: string;
  limits: SandboxLimits;
}

/** The arguments of `docker`. Values of the environment do not stand in them: others may read a command line. */
export function dockerArguments(request: DockerRequest): string[] {
  const { program, openings, sockets, limits } = request;
  const temporary = `rw,nosuid,nodev,mode=1777,size=${limits.maxTemporaryMib * MIB}`;
  const mounts = [...openings, ...(sockets === undefined ? [] : [{ path: sockets, isWritable: false }])];
  const { outside, inside } = splitEnvironment(program.environment);
  const relays = request.relays.flatMap(({ port, socketFile }) => [`${port}`, socketFile]);
  return [
    ...["run", "--rm", "--interactive", "--init", "--pull", "never"],
    ...["--name", request.name, "--label", `${LABEL}=${request.name}`],
    ...["--network", "none", "--read-only", "--tmpfs", `/tmp:${temporary},exec`],
    ...["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", request.user],
    ...["--pids-limit", `${limits.maxProcesses}`, "--memory", `${limits.maxMemoryMib}m`],
    ...["--memory-swap", `${limits.maxMemoryMib}m`, "--shm-size", `${limits.maxTemporaryMib}m`],
    ...["--ulimit", `fsize=${limits.maxFileMib * MIB}`, "--ulimit", "core=0"],
    ...mounts.flatMap((opening) => ["--mount", mountOf(opening)]),
    ...Object.keys(outside).flatMap((name) => ["--env", name]),
    ...Object.entries(inside).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...["--workdir", program.directory, "--entrypoint", ""],
    ...["--", request.image],
    ...(relays.length > 0 ? ["/bin/sh", "-c", INNER_SCRIPT, "robson-relays", ...relays, "--"] : []),
    program.command,
    ...program.args,
  ];
}

async function wrap(
  program: Program,
  rules: SandboxRules,
  { image, limits, protectedPaths }: DockerOptions,
): Promise<SandboxedProgram> {
  const client = await findTool("docker");
  if (client === undefined) throw unavailable("docker is not installed");
  const openings = await openingsOf(rules, { protectedPaths });
  const name = `${PREFIX}${await ownMark()}-${crypto.randomUUID().slice(0, 8)}`;
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const runtime = await makeRuntimeFolder();
    undo.push(() => removeRuntimeFolder(runtime));
    const ways = { runtime, limits, lookup: undefined };
    const { sockets, relays, ...proxies } = await openProxies(rules.allowedDomains, ways);
    undo.push(() => proxies.close());
    const watch = watchDisk(rules.writable, limits);
    undo.push(async () => watch.stop());
    await removeLeftovers(client);
    undo.push(() => docker(client, ["rm", "--force", name]));

    const environment = {
      ...program.environment,
      ...(relays.length > 0 ? proxyEnvironment(PROXY_PORT) : {}),
    };
    const user = `${process.getuid?.() ?? 1000}:${process.getgid?.() ?? 1000}`;
    const asked = { ...program, environment };
    return {
      command: client,
      args: dockerArguments({ program: asked, openings, sockets, relays, name, user, image, limits }),
      directory: program.directory,
      environment: { ...splitEnvironment(environment).outside, ...clientEnvironment() },
      overLimit: watch.signal,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function check({ image }: DockerOptions, signal: AbortSignal): Promise<{ warnings: string[] }> {
  const client = await findTool("docker");
  if (client === undefined) throw unavailable("docker is not installed");
  const engine = await docker(client, ["version", "--format", "{{.Server.Version}}"], signal);
  if (engine.exitCode !== 0) throw unavailable(`no engine answers: ${engine.stderr.trim()}`);
  const found = await docker(client, ["image", "inspect", "--format", "{{.Id}}", "--", image], signal);
  if (found.exitCode !== 0) throw unavailable(`the image "${image}" is not on this machine`);
  return { warnings: ['The sandbox "docker" has not been tried by its authors against an engine'] };
}

/** Containers of a Robson that was killed: their client is gone, and they go on. */
async function removeLeftovers(client: string): Promise<void> {
  const listed = await docker(client, [
    "ps",
    "--all",
    "--filter",
    `label=${LABEL}`,
    "--format",
    "{{.Names}}",
  ]);
  for (const name of listed.stdout.split("\n")) {
    if (!name.startsWith(PREFIX) || (await isOfLivingProcess(name.slice(PREFIX.length)))) continue;
    await docker(client, ["rm", "--force", name]);
  }
}

function docker(client: string, args: string[], signal = new AbortController().signal) {
  return runProcess({
    command: client,
    args,
    directory: "/",
    environment: { ...clientEnvironment(), PATH: "/usr/local/bin:/usr/bin:/bin" },
    timeoutMs: DOCKER_TIMEOUT_MS,
    limits: DEFAULT_WORKFLOW_LIMITS,
    signal,
  });
}

/**
 * What the client reads of its user. Its settings are named outright: in the program's home, where it would look otherwise,
 * an agent could leave some that start a program of its choice.
 */
function clientEnvironment(): Record<string, string> {
  const { DOCKER_CONFIG, DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY } = process.env;
  const given = { DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY };
  const set = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { ...Object.fromEntries(set), DOCKER_CONFIG: DOCKER_CONFIG ?? join(homedir(), ".docker") };
}

/** `--mount` reads comma-separated values, quoted as in CSV. */
function mountOf({ path, isWritable }: Opening): string {
  const parts = ["type=bind", `source=${path}`, `target=${path}`, ...(isWritable ? [] : ["readonly"])];
  return parts.map((part) => (/[",]/.test(part) ? `"${part.replaceAll('"', '""')}"` : part)).join(",");
}

function unavailable(why: string): WorkerError {
  return new WorkerError(`Cannot use the sandbox "docker": ${why}`, {
    code: "SANDBOX_UNAVAILABLE",
    retry: "never",
    hint: 'Start the engine and pull sandbox.docker_image; or choose sandbox = "bubblewrap" under [workflow] in robson.toml, or "none" to accept that agents run with all rights of this user',
  });
}
