/**
 * Which hosts git may be sent to. A repository is named by whoever writes a task, so without this check anyone could
 * make Robson talk to the machines behind its firewall. Asked twice: when a task is created (what the address shows
 * on its face), and before each run (what its name resolves to). Git resolves the name once more by itself: a name
 * that changes its address in between is not caught here, so a network that must not be reached needs a firewall.
 */
import type { LookupAddress } from "node:dns";
import { lookup as systemLookup } from "node:dns/promises";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import {
  type AllowedHosts,
  isAllowedHost,
  PLATFORM_ADDRESSES,
  withoutBrackets,
} from "../core/allowed-hosts.ts";
import { messageOf, RobsonError, WorkerError } from "../core/errors.ts";

/** Resolves a name to all of its addresses. */
export type Lookup = (hostname: string) => Promise<LookupAddress[]>;

interface Host {
  hostname: string;
  port: string;
}

const DEFAULT_PORTS: Record<string, string> = { "https:": "443", "ssh:": "22" };
const PUBLIC_IPV6: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3];
const NO_HOSTS: AllowedHosts = new Set();

/** Throws `REPOSITORY_INVALID` for a checked address whose host is this machine or a private one on its face. */
export function checkRepositoryHost(url: string, allowed: AllowedHosts = NO_HOSTS): void {
  const host = hostOf(url);
  if (host === undefined || isAllowedHost(host, allowed)) return;
  const hostname = withoutBrackets(host.hostname);
  if (isIP(hostname) !== 0) checkAddress(hostname, hostname);
  if (/(^|\.)localhost\.?$/.test(hostname)) throw refused(hostname, "is this machine");
}

/** The same for what the name of the host resolves to now. A name without an address is a `GIT_FAILED`, worth another try. */
export async function checkResolvedHost(
  url: string,
  {
    allowed = NO_HOSTS,
    lookup = lookupAll,
  }: { allowed?: AllowedHosts | undefined; lookup?: Lookup | undefined },
): Promise<void> {
  checkRepositoryHost(url, allowed);
  const host = hostOf(url);
  if (host === undefined || isAllowedHost(host, allowed)) return;
  const hostname = withoutBrackets(host.hostname);
  const addresses = await lookup(hostname).catch((error: unknown) => {
    throw new WorkerError(`Cannot find the host "${hostname}" of the repository: ${messageOf(error)}`, {
      code: "GIT_FAILED",
      retry: "later",
      hint: "Check the name; a name that only ssh's own settings know must stand in workflow.allow_repository_hosts",
      cause: error,
    });
  });
  for (const { address } of addresses) checkAddress(hostname, address);
}

/** The host in the notation of the URL parser, whatever the address is written like; none where it is a file's. */
function hostOf(url: string): Host | undefined {
  const scp = /^[^@/]+@([^:/]+):/.exec(url)?.[1];
  const parsed = URL.parse(scp === undefined ? url : `ssh://${scp}/`);
  if (parsed === null || parsed.protocol === "file:") return undefined;
  // The parser leaves the hosts of ssh addresses as they are: 2130706433 is 127.0.0.1 there too.
  const hostname = URL.parse(`http://${parsed.hostname}/`)?.hostname ?? parsed.hostname.toLowerCase();
  return { hostname, port: parsed.port || (DEFAULT_PORTS[parsed.protocol] ?? "") };
}

function checkAddress(hostname: string, address: string): void {
  const range = rangeOf(address);
  if (range !== "unicast") throw refused(hostname, `has the ${range} address ${address}`);
}

/** The kind of an address; `unicast` means public. */
export function rangeOf(address: string): string {
  if (!ipaddr.isValid(address)) return "unreadable";
  // An IPv4 address that is dressed up as an IPv6 one counts as what would be reached.
  const parsed = ipaddr.process(address);
  if (PLATFORM_ADDRESSES.has(parsed.toString())) return "platform";
  const isOutside = parsed.kind() === "ipv6" && !parsed.match(PUBLIC_IPV6);
  return isOutside && parsed.range() === "unicast" ? "reserved" : parsed.range();
}

function refused(hostname: string, why: string): RobsonError {
  return new RobsonError("REPOSITORY_INVALID", `Cannot use a repository of ${hostname}: it ${why}`, {
    hint: "Use a public host, or have the operator list it in workflow.allow_repository_hosts of robson.toml",
  });
}

function lookupAll(hostname: string): Promise<LookupAddress[]> {
  return systemLookup(hostname, { all: true });
}
