/**
 * What may be given to a sandboxed program at all: folders that are there, that no link leads to, and that hold
 * nothing of what must stay with Robson and its user. A rule that asks for more is refused, never trimmed.
 */
import { realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { WorkerError } from "../../core/errors.ts";
import type { Program, SandboxRules } from "../sandbox.ts";

/** A rule's path as it is mounted; parents stand before what lies in them. */
export interface Opening {
  path: string;
  isWritable: boolean;
}

export interface RuleOptions {
  /** Files and folders of Robson that no program may reach: its database, its configuration. Absolute. */
  protectedPaths: readonly string[];
}

/** In the home of whoever runs Robson: what opens other doors. */
const SECRETS_OF_HOME = [
  ".ssh",
  ".gnupg",
  ".aws",
  ".azure",
  ".kube",
  ".docker",
  ".netrc",
  ".git-credentials",
  ".config/gh",
  ".config/gcloud",
  ".config/git/credentials",
  ".local/share/keyrings",
  ".password-store",
  ".npmrc",
  ".pypirc",
];

/** Hold sockets, devices or the whole machine; no part of them is given to a program. */
const NEVER = ["/proc", "/sys", "/dev/pts", "/run", "/var/run", "/boot", "/etc/ssh", "/etc/shadow"];

/** The openings that the rules ask for; throws `SANDBOX_REFUSED` for one that must not be. */
export async function openingsOf(rules: SandboxRules, options: RuleOptions): Promise<Opening[]> {
  const asked = [
    ...rules.readable.map((path) => ({ path, isWritable: false })),
    ...rules.writable.map((path) => ({ path, isWritable: true })),
  ];
  const secrets = await realPaths([...protectedBySystem(), ...options.protectedPaths]);
  for (const opening of asked) {
    await checkPath(opening);
    const secret = secrets.find((each) => isWithin(each, opening.path) || isWithin(opening.path, each));
    if (secret !== undefined) {
      throw refused(`it holds, or lies in, ${secret}`, opening.path);
    }
  }
  return [...new Map(asked.map((opening) => [opening.path, opening])).values()].sort((a, b) =>
    a.path < b.path ? -1 : 1,
  );
}

/** The program's absolute path, where it is within reach in the sandbox; `SANDBOX_REFUSED` says which folder to open, `PROGRAM_MISSING` that there is none. */
export async function findProgram(
  program: Program,
  openings: readonly Opening[],
  /** `systemPaths` is what every program sees. */
  { systemPaths }: { systemPaths: readonly string[] },
): Promise<string> {
  const { command, directory, environment } = program;
  if (!openings.some(({ path }) => isWithin(directory, path))) throw refused("no rule opens it", directory);
  const visible = [...systemPaths, ...openings.map(({ path }) => path)];
  const folders = command.includes("/") ? [""] : (environment.PATH ?? "").split(":").filter(isAbsolute);
  const candidates = folders.map((folder) =>
    folder === "" ? resolve(directory, command) : join(folder, command),
  );
  let hidden: string | undefined;
  for (const candidate of candidates) {
    const real = await realpath(candidate).catch(() => undefined);
    if (real === undefined) continue;
    const isVisible = (path: string) => visible.some((each) => isWithin(path, each));
    if (isVisible(real)) return isVisible(candidate) ? candidate : real;
    hidden ??= real;
  }
  if (hidden === undefined) {
    throw new WorkerError(`Cannot start "${command}" in the sandbox: there is no such program`, {
      code: "PROGRAM_MISSING",
      retry: "never",
      hint: "Install it below /usr, or elsewhere on the PATH with its folder in sandbox.readable of robson.toml; or correct its name",
    });
  }
  throw new WorkerError(`Cannot start "${command}" in the sandbox: ${hidden} is not within its reach`, {
    code: "SANDBOX_REFUSED",
    retry: "never",
    hint: `Add "${dirname(hidden)}" to sandbox.readable in robson.toml, or the folder above where the program's libraries lie there`,
  });
}

/** Whether a path is a folder or lies in it. */
export function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === "" || (way !== ".." && !way.startsWith("../") && !isAbsolute(way));
}

function protectedBySystem(): string[] {
  const agent = process.env.SSH_AUTH_SOCK;
  const ofHome = SECRETS_OF_HOME.map((name) => join(homedir(), name));
  return [...NEVER, ...ofHome, ...(agent !== undefined && isAbsolute(agent) ? [agent] : [])];
}

/** Also what they lead to, where they are links. */
async function realPaths(paths: readonly string[]): Promise<string[]> {
  const real = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  return [...new Set([...paths, ...real])];
}

async function checkPath({ path, isWritable }: Opening): Promise<void> {
  if (!isAbsolute(path) || resolve(path) !== path) throw refused("it is no absolute path", path);
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) throw refused("it is not there", path);
  if (real !== path) throw refused(`a link leads from it to ${real}`, path);
  if (isWritable && !(await stat(path)).isDirectory()) throw refused("it is no folder", path);
}

function refused(why: string, path: string): WorkerError {
  return new WorkerError(`Cannot open "${path}" to a sandboxed program: ${why}`, {
    code: "SANDBOX_REFUSED",
    retry: "never",
    hint: "Where it stands in sandbox.readable of robson.toml, name a smaller folder, and where links lead; a checkout is made anew by the next run",
  });
}
