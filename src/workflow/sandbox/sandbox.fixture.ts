/**
 * For the tests of sandboxes: a machine's corner with what must not get out (a database, keys, another task's files), and a
 * plain way to run a program in a sandbox there.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestEnd, temporaryFolder } from "../../testing/temporary-folder.ts";
import { DEFAULT_SANDBOX_LIMITS, type SandboxLimits } from "../limits.ts";
import type { Lookup } from "../repository-host.ts";
import type { Sandbox, SandboxedProgram } from "../sandbox.ts";
import { bubblewrapSandbox } from "./bubblewrap.ts";

/** Stands in every file, variable and answer that no program may get. */
export const SECRET = "the-secret-of-robson";

/** Node as programs inside find it. */
export const NODE = realpathSync(process.execPath);

export interface Corner {
  /** Robson's own: robson.db, robson.toml, .env, keys/, a clone. */
  robson: string;
  checkout: string;
  home: string;
  /** Another task's checkout. */
  neighbour: string;
}

export async function makeCorner(t: TestEnd): Promise<Corner> {
  const root = realpathSync(await temporaryFolder(t));
  const robson = join(root, "robson");
  const corner = {
    robson,
    checkout: join(root, "work/SHOP-1/checkout"),
    home: join(root, "work/SHOP-1/home"),
    neighbour: join(root, "work/SHOP-2/checkout"),
  };
  for (const folder of [...Object.values(corner), join(robson, "keys"), join(robson, "clone/objects")]) {
    mkdirSync(folder, { recursive: true });
  }
  for (const name of ["robson.db", "robson.toml", ".env", "keys/id_ed25519", "clone/HEAD", "clone/config"]) {
    writeFileSync(join(robson, name), `${SECRET}\n`);
  }
  writeFileSync(join(corner.neighbour, "secret.txt"), SECRET);
  writeFileSync(join(corner.checkout, "README.md"), "# Shop\n");
  return corner;
}

export function testSandbox(
  corner: Corner,
  {
    limits,
    lookup,
    needsNetwork = false,
  }: { limits?: Partial<SandboxLimits>; lookup?: Lookup; needsNetwork?: boolean } = {},
): Sandbox {
  return bubblewrapSandbox({
    limits: { ...DEFAULT_SANDBOX_LIMITS, ...limits },
    protectedPaths: [corner.robson],
    needsNetwork,
    lookup,
  });
}

export interface SandboxRun {
  command: string;
  args: string[];
  directory?: string;
  environment?: Record<string, string>;
  readable?: string[];
  allowedDomains?: string[];
  /** More files that are handed over open, as a careless starter would. */
  openFiles?: number[];
}

export interface SandboxEnd {
  /** Both streams. */
  output: string;
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

export function wrapIn(sandbox: Sandbox, corner: Corner, run: SandboxRun): Promise<SandboxedProgram> {
  const { command, args, directory = corner.checkout, environment = {} } = run;
  return sandbox.wrap(
    { command, args, directory, environment: { PATH: "/usr/bin:/bin", HOME: corner.home, ...environment } },
    {
      writable: [corner.checkout, corner.home],
      readable: [NODE, ...(run.readable ?? [])],
      allowedDomains: run.allowedDomains ?? [],
    },
  );
}

/** Starts it as the supervisor does: a session of its own, no stdin. */
export function startWrapped(wrapped: SandboxedProgram, openFiles: number[] = []): ChildProcess {
  return spawn(wrapped.command, wrapped.args, {
    cwd: wrapped.directory,
    env: wrapped.environment,
    detached: true,
    stdio: ["ignore", "pipe", "pipe", ...openFiles],
  });
}

/** Runs a program to its end; ends it when it passes a limit that is watched. */
export async function runIn(sandbox: Sandbox, corner: Corner, run: SandboxRun): Promise<SandboxEnd> {
  const wrapped = await wrapIn(sandbox, corner, run);
  try {
    const child = startWrapped(wrapped, run.openFiles);
    wrapped.overLimit.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
    const end = await endOf(child);
    if (!wrapped.overLimit.aborted) return end;
    return { ...end, output: `${end.output}${String(wrapped.overLimit.reason)}` };
  } finally {
    await wrapped.close();
  }
}

export function endOf(child: ChildProcess): Promise<SandboxEnd> {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode, signal) => resolve({ output, exitCode, signal }));
  });
}

/** Processes of this machine that work for the corner, by the home that they carry: a killed one for a moment more. */
export function processesOf({ home }: Corner): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`HOME=${home}`);
    } catch {
      // It has ended.
      return false;
    }
  });
}

/** Why bubblewrap cannot run here; undefined where it can. Says it loudly: what is skipped for it proves nothing. */
export async function whyNoBubblewrap(): Promise<string | undefined> {
  const sandbox = bubblewrapSandbox({
    limits: DEFAULT_SANDBOX_LIMITS,
    protectedPaths: [],
    needsNetwork: true,
  });
  const why = await sandbox.check({ signal: AbortSignal.timeout(30_000) }).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  if (why !== undefined) process.stderr.write(`\nSKIPPED, nothing is shown of the sandbox: ${why}\n\n`);
  return why;
}
