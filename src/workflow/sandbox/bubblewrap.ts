/**
 * The sandbox of Linux namespaces, by bubblewrap: the program sees the system read-only, the folders that its rules
 * open, no other process, and no network but through its own proxy. It needs no root, no daemon and no image. Several run
 * at once with different rules; nothing is shared between them but this process.
 */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WorkerError } from "../../core/errors.ts";
import { runProcess } from "../child-process.ts";
import { DEFAULT_WORKFLOW_LIMITS, type SandboxLimits } from "../limits.ts";
import type { Lookup } from "../repository-host.ts";
import type { Program, Sandbox, SandboxedProgram, SandboxRules } from "../sandbox.ts";
import { bubblewrapArguments, innerCommand, procFilesToHide } from "./bubblewrap-arguments.ts";
import { makeControlGroup } from "./control-group.ts";
import { watchDisk } from "./disk-watch.ts";
import { proxyEnvironment, splitEnvironment } from "./environment.ts";
import { INNER_SCRIPT, OUTER_SCRIPT, PROXY_PORT } from "./launch-script.ts";
import { openProxies } from "./proxies.ts";
import { findProgram, openingsOf } from "./rules.ts";
import { makeRuntimeFolder, removeRuntimeFolder, sweepRuntimeFolders } from "./runtime-folder.ts";
import { seccompFilter } from "./seccomp-filter.ts";
import { inventedFiles, systemFiles } from "./system-files.ts";
import { findTool } from "./system-tools.ts";

export interface BubblewrapOptions {
  limits: SandboxLimits;
  /** Files and folders that no rule may open: Robson's database and configuration. Absolute. */
  protectedPaths: readonly string[];
  /** Whether domains are going to be allowed: what that takes is checked too. */
  needsNetwork: boolean;
  /** Replaces the system's resolver, in tests. */
  lookup?: Lookup | undefined;
}

/** How long the trial run of `check` may take. */
const CHECK_TIMEOUT_MS = 20_000;
const UNAVAILABLE_HINT =
  'Install bubblewrap 0.8 or later, util-linux and (for sandbox.allow_domains) socat, and let this user make user namespaces; or accept that agents run with all rights of this user: sandbox = "none" under [workflow] in robson.toml';

export function bubblewrapSandbox(options: BubblewrapOptions): Sandbox {
  return {
    name: "bubblewrap",
    check: ({ signal }) => check(options, signal),
    wrap: (program, rules) => wrap(program, rules, options),
  };
}

async function wrap(
  program: Program,
  rules: SandboxRules,
  { limits, protectedPaths, lookup }: BubblewrapOptions,
): Promise<SandboxedProgram> {
  const bubblewrap = await findTool("bwrap");
  if (bubblewrap === undefined) throw unavailable("bubblewrap (bwrap) is not installed");
  const filter = seccompFilter();
  if (filter === undefined)
    throw unavailable(`its filter is not written for machines of the kind ${process.arch}`);
  const system = await systemFiles();
  const systemPaths = [...system.folders, ...system.links.map(({ path }) => path), ...system.files];
  const openings = await openingsOf(rules, { protectedPaths });
  const command = await findProgram(program, openings, { systemPaths });
  await sweepRuntimeFolders();

  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
  };
  try {
    const runtime = await makeRuntimeFolder();
    undo.push(() => removeRuntimeFolder(runtime));
    const group = await makeControlGroup(limits);
    undo.push(async () => group?.remove());
    const { sockets, relays, ...proxies } = await openProxies(rules.allowedDomains, {
      runtime,
      limits,
      lookup,
    });
    undo.push(() => proxies.close());
    const watch = watchDisk(rules.writable, limits);
    undo.push(async () => watch.stop());

    const files = await writeRuntimeFiles(runtime, { filter, home: program.environment.HOME ?? "/" });
    const procFiles = procFilesToHide(await readdir("/proc"));
    const { directory } = program;
    const { outside, inside } = splitEnvironment({
      ...program.environment,
      ...(relays.length > 0 ? proxyEnvironment(PROXY_PORT) : {}),
    });
    const joined = ["robson-sandbox", files.filter, ...(group?.joinFiles ?? []), "--"];
    const { invented } = files;
    const opened = bubblewrapArguments({ system, procFiles, invented, openings, sockets, directory, limits });
    const limited = innerCommand(limits, inside);
    const inner = [...relayed(relays), ...limited, command, ...program.args];
    return {
      command: (await findTool("bash")) ?? "/bin/sh",
      args: ["-pc", OUTER_SCRIPT, ...joined, bubblewrap, ...opened, ...inner],
      directory,
      environment: outside,
      overLimit: watch.signal,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function relayed(relays: readonly { port: number; socketFile: string }[]): string[] {
  if (relays.length === 0) return [];
  const pairs = relays.flatMap(({ port, socketFile }) => [`${port}`, socketFile]);
  return ["/bin/sh", "-c", INNER_SCRIPT, "robson-relays", ...pairs, "--"];
}

async function writeRuntimeFiles(
  runtime: string,
  { filter, home }: { filter: Buffer; home: string },
): Promise<{ filter: string; invented: Record<string, string> }> {
  const invented: Record<string, string> = {};
  for (const [name, content] of Object.entries(inventedFiles(home))) {
    invented[name] = join(runtime, name);
    await writeFile(join(runtime, name), content);
  }
  await writeFile(join(runtime, "filter"), filter);
  return { filter: join(runtime, "filter"), invented };
}

/** A trial run: what stands in the way of a sandbox shows in no other way on all machines. */
async function check(options: BubblewrapOptions, signal: AbortSignal): Promise<{ warnings: string[] }> {
  if (process.platform !== "linux") throw unavailable("it is there on Linux alone");
  for (const tool of ["bwrap", "prlimit", ...(options.needsNetwork ? ["socat"] : [])]) {
    if ((await findTool(tool)) === undefined) throw unavailable(`${tool} is not installed`);
  }
  const folder = await makeRuntimeFolder();
  try {
    const program = { command: "/bin/true", args: [], directory: folder, environment: { HOME: folder } };
    const allowedDomains = options.needsNetwork ? ["robson.invalid.example"] : [];
    const wrapped = await wrap(program, { writable: [folder], readable: [], allowedDomains }, options);
    const end = await runProcess({
      ...wrapped,
      timeoutMs: CHECK_TIMEOUT_MS,
      limits: DEFAULT_WORKFLOW_LIMITS,
      signal,
    }).finally(() => wrapped.close());
    signal.throwIfAborted();
    if (end.exitCode !== 0) throw unavailable(`a trial run failed: ${end.stderr.trim() || end.endedBy}`);
    return { warnings: await missingLimits(options.limits) };
  } finally {
    await removeRuntimeFolder(folder);
  }
}

async function missingLimits(limits: SandboxLimits): Promise<string[]> {
  const group = await makeControlGroup(limits);
  await group?.remove();
  const isHeld = (limit: "processes" | "memory") => group?.limits.includes(limit) === true;
  const warnings: string[] = [];
  if (!isHeld("processes") && process.getuid?.() === 0) {
    warnings.push("As root and without a control group that can be written, maxProcesses is not held");
  }
  if (!isHeld("memory")) {
    warnings.push("Without a control group that can be written, maxMemoryMib is not held");
  }
  return warnings;
}

function unavailable(why: string): WorkerError {
  return new WorkerError(`Cannot use the sandbox "bubblewrap": ${why}`, {
    code: "SANDBOX_UNAVAILABLE",
    retry: "never",
    hint: UNAVAILABLE_HINT,
  });
}
