/**
 * Which password git gets for which host. Robson starts git with a helper of its own (credential-helper.ts) and hands
 * that the token through git's environment: it stands in no address, no git configuration, no argument and no file,
 * and what runs in a checkout is never started by this git. The helper answers for this one host, over https alone.
 */
import { fileURLToPath } from "node:url";

export interface GitCredential {
  /** `git.example.org`, or `git.example.org:8443`. */
  host: string;
  username: string;
  /** Absent where the host only needs `caFile`. */
  token?: string | undefined;
  /** The certificates that the host is judged by, instead of the system's. */
  caFile?: string | undefined;
}

/** What git is started with for one address: settings before the command, and variables of its environment. */
export interface GitAccess {
  settings: string[];
  environment: Record<string, string>;
  /** Must never be shown: git's words are searched for them. */
  secrets: string[];
}

const NO_ACCESS: GitAccess = { settings: [], environment: {}, secrets: [] };

/** The names by which the helper finds what it may say, and for whom. */
export const HELPER_VARIABLES = {
  host: "ROBSON_GIT_HOST",
  username: "ROBSON_GIT_USERNAME",
  token: "ROBSON_GIT_TOKEN",
} as const;

/** Nothing for an address that is not https, and for a host without credentials. */
export function gitAccess(url: string | undefined, credentials: readonly GitCredential[] = []): GitAccess {
  const credential = credentials.find(({ host }) => host === httpsHost(url));
  if (credential === undefined) return NO_ACCESS;
  const { host, username, token, caFile } = credential;
  const trust = caFile === undefined ? {} : { GIT_SSL_CAINFO: caFile };
  if (token === undefined) return { settings: [], environment: trust, secrets: [] };
  return {
    settings: ["-c", `credential.helper=!${helperCommand()}`],
    environment: {
      ...trust,
      [HELPER_VARIABLES.host]: host,
      [HELPER_VARIABLES.username]: username,
      [HELPER_VARIABLES.token]: token,
    },
    secrets: [token, Buffer.from(`${username}:${token}`).toString("base64")],
  };
}

/** Whether a token can be handed to git: its protocol has one value a line. */
export function isUsableToken(token: string): boolean {
  return token !== "" && !/[\0\r\n]/.test(token);
}

/** The host as git names it to its helper, with the port where it is not 443. */
function httpsHost(url: string | undefined): string | undefined {
  const parsed = url === undefined ? null : URL.parse(url);
  return parsed?.protocol === "https:" ? parsed.host : undefined;
}

/** A line for git's shell: the program beside this file, source or compiled, as this file is. */
function helperCommand(): string {
  const name = import.meta.url.endsWith(".ts") ? "credential-helper.ts" : "credential-helper.js";
  const program = fileURLToPath(new URL(name, import.meta.url));
  return [process.execPath, "--disable-warning=ExperimentalWarning", program].map(quoted).join(" ");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
