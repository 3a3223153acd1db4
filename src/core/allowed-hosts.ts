/**
 * The lists of hosts for which the check of addresses is lifted, and what such checks know of addresses that look
 * public and are not. Shared by callbacks and repositories; what an address is, each finds out for itself.
 */
import { isIPv6 } from "node:net";
import { RobsonError } from "./errors.ts";

/** Hosts for which the check is lifted, as `host` or `host:port`, in the notation of the URL parser. */
export type AllowedHosts = ReadonlySet<string>;

/** Public by their range, and yet answered by the platform that a machine runs on: that of Azure. */
export const PLATFORM_ADDRESSES: ReadonlySet<string> = new Set(["168.63.129.16"]);

/** Reads a list of hosts from the configuration; a mistake in it is a `CONFIG_INVALID`. */
export function parseAllowedHosts(entries: readonly string[]): AllowedHosts {
  return new Set(entries.map(parseAllowedHost));
}

/** Whether the list has the host, for all of its ports or for this one. */
export function isAllowedHost(
  { hostname, port }: { hostname: string; port: string },
  allowed: AllowedHosts,
): boolean {
  return allowed.has(hostname) || allowed.has(`${hostname}:${port}`);
}

/** A host name as sockets take it: the URL parser's brackets of an IPv6 address left out. */
export function withoutBrackets(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

function parseAllowedHost(entry: string): string {
  const parts = /^(\[[^\]]*\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(isIPv6(entry) ? `[${entry}]` : entry);
  const url = parts?.[1] === undefined ? null : URL.parse(`http://${parts[1]}/`);
  if (!url || url.href !== `http://${url.hostname}/` || Number(parts?.[2] ?? 1) > 65_535) {
    throw new RobsonError("CONFIG_INVALID", `Cannot read the allowed host "${entry}"`, {
      hint: 'Give a host or host:port without scheme and path, as "127.0.0.1:8080" or "hooks.internal"',
    });
  }
  return parts?.[2] === undefined ? url.hostname : `${url.hostname}:${Number(parts[2])}`;
}
