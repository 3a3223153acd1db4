/**
 * What every program needs of the machine, and all that it sees of it without a rule: programs and libraries in
 * /usr, the certificates that everyone may read, and a few files of /etc that we write ourselves. Whatever is not named here is
 * absent: homes, /root, the rest of /etc, /var, /run, /sys.
 */
import { lstat, readlink } from "node:fs/promises";

/** Where programs and libraries lie; links into /usr on most machines. */
const PROGRAM_FOLDERS = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/** Public by what they are. Those that this machine lacks are left out. */
const PUBLIC_FILES = [
  "/etc/alternatives",
  "/etc/ca-certificates",
  "/etc/ca-certificates.conf",
  "/etc/crypto-policies",
  "/etc/fonts",
  "/etc/java-17-openjdk",
  "/etc/java-21-openjdk",
  "/etc/ld.so.cache",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/localtime",
  "/etc/magic",
  "/etc/mime.types",
  "/etc/os-release",
  "/etc/pki/ca-trust/extracted",
  "/etc/pki/tls/certs",
  "/etc/pki/tls/cert.pem",
  "/etc/protocols",
  "/etc/services",
  "/etc/ssl/cert.pem",
  "/etc/ssl/certs",
  "/etc/ssl/openssl.cnf",
  "/etc/timezone",
];

/** What tells of the kernel and of others, or would change it: as root of the machine a program may read and write these. */
export const HIDDEN_PROC_FILES = [
  "config.gz",
  "iomem",
  "kallsyms",
  "kcore",
  "key-users",
  "keys",
  "kmsg",
  "kpagecgroup",
  "kpagecount",
  "kpageflags",
  "latency_stats",
  "modules",
  "pagetypeinfo",
  "sched_debug",
  "slabinfo",
  "sysrq-trigger",
  "timer_list",
  "timer_stats",
  "vmallocinfo",
];

export interface SystemFiles {
  /** Folders to show as they are, read-only. */
  folders: string[];
  /** Links to make: their path, and what they say. */
  links: { path: string; target: string }[];
  /** Files and folders to show read-only. */
  files: string[];
}

/** What this machine has of it. */
export async function systemFiles(): Promise<SystemFiles> {
  const found: SystemFiles = { folders: ["/usr"], links: [], files: [] };
  for (const path of PROGRAM_FOLDERS) {
    const kind = await lstat(path).catch(() => undefined);
    if (kind?.isSymbolicLink()) found.links.push({ path, target: await readlink(path) });
    else if (kind?.isDirectory()) found.folders.push(path);
  }
  for (const path of PUBLIC_FILES) {
    if (await lstat(path).catch(() => undefined)) found.files.push(path);
  }
  return found;
}

/** The user inside: not root, whoever runs Robson, so that programs which refuse to work as root go on. */
export const SANDBOX_UID = 1000;

/** Files of /etc with made-up content, by name. */
export function inventedFiles(home: string): Record<string, string> {
  const safeHome = /^[^:\n]+$/.test(home) ? home : "/";
  return {
    passwd: `robson:x:${SANDBOX_UID}:${SANDBOX_UID}:robson:${safeHome}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n`,
    group: `robson:x:${SANDBOX_UID}:\nnogroup:x:65534:\n`,
    hosts: "127.0.0.1 localhost robson\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
  };
}
