/**
 * The arguments for bubblewrap: an empty root, the system read-only, what the rules open, namespaces of its own for
 * processes, network, users and the rest. Pure; the order matters, since later mounts lie over earlier ones.
 */
import type { SandboxLimits } from "../limits.ts";
import type { Opening } from "./rules.ts";
import { HIDDEN_PROC_FILES, SANDBOX_UID, type SystemFiles } from "./system-files.ts";

export interface BubblewrapRequest {
  system: SystemFiles;
  /** Which of the files to hide this machine's /proc has. */
  procFiles: readonly string[];
  /** Files of /etc with content of ours: where they lie, by name. */
  invented: Record<string, string>;
  openings: readonly Opening[];
  /** The folder with the sockets of the proxy, shown at the same path. */
  sockets?: string | undefined;
  directory: string;
  limits: SandboxLimits;
}

/** The file descriptor on which `OUTER_SCRIPT` hands over the filter. */
const FILTER_DESCRIPTOR = 9;
const MIB = 1024 * 1024;

/** Everything up to the program; its command and arguments follow. */
export function bubblewrapArguments(request: BubblewrapRequest): string[] {
  const { system, openings, directory, limits } = request;
  const temporary = ["--size", `${limits.maxTemporaryMib * MIB}`, "--perms", "1777", "--tmpfs"];
  return [
    ...namespaces(),
    ...["--perms", "0755", "--dir", "/etc"],
    ...system.folders.flatMap((path) => ["--ro-bind", path, path]),
    ...system.links.flatMap(({ path, target }) => ["--symlink", target, path]),
    ...system.files.flatMap((path) => ["--ro-bind", path, path]),
    ...Object.entries(request.invented).flatMap(([name, path]) => ["--ro-bind", path, `/etc/${name}`]),
    ...procAndDevices(request.procFiles),
    ...[...temporary, "/dev/shm", ...temporary, "/tmp"],
    ...["--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp"],
    ...openings.flatMap(({ path, isWritable }) => [isWritable ? "--bind" : "--ro-bind", path, path]),
    ...(request.sockets === undefined ? [] : ["--ro-bind", request.sockets, request.sockets]),
    // What is left of the root, and of /dev, holds nothing that the program could change.
    ...["--remount-ro", "/dev", "--remount-ro", "/"],
    ...["--chdir", directory, "--seccomp", `${FILTER_DESCRIPTOR}`, "--"],
  ];
}

/** The files of /proc to hide that are there: one that is not cannot be covered. */
export function procFilesToHide(present: readonly string[]): string[] {
  return HIDDEN_PROC_FILES.filter((name) => present.includes(name));
}

/** How the program is started inside: the signals that were ignored on the way heard again, and limits of its own. */
export function innerCommand(limits: SandboxLimits, environment: Record<string, string>): string[] {
  const fileSize = limits.maxFileMib * MIB;
  return [
    ...["/usr/bin/env", "--default-signal=HUP,INT,TERM"],
    ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    "/usr/bin/prlimit",
    // Counted in the sandbox's own namespace. The kernel does not hold root to it: there a control group must.
    `--nproc=${limits.maxProcesses}:${limits.maxProcesses}`,
    `--fsize=${fileSize}:${fileSize}`,
    "--core=0:0",
    // No limit on memory: what a process reserves counts for it, and some (Bun) reserve more than any machine has.
    "--",
  ];
}

function namespaces(): string[] {
  return [
    "--unshare-user",
    "--disable-userns",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
    ...["--uid", `${SANDBOX_UID}`, "--gid", `${SANDBOX_UID}`, "--hostname", "robson"],
    "--die-with-parent",
  ];
}

/**
 * Where Robson runs as root, the user inside is root to the kernel's own files: without rights, but with those that a
 * file gives to its owner. /proc/sys/kernel/core_pattern alone would be a way out, so all of /proc is read-only.
 */
function procAndDevices(hidden: readonly string[]): string[] {
  return [
    ...["--proc", "/proc"],
    ...hidden.flatMap((name) => ["--ro-bind", "/dev/null", `/proc/${name}`]),
    ...["--remount-ro", "/proc", "--dev", "/dev"],
  ];
}
