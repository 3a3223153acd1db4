/**
 * The allow list of domains: what its entries mean, and which addresses a name may lead to. A name that stands in the
 * list is reached on the ports 80 and 443, or on the one that it names. An address that is not public is reached only where it
 * stands in the list itself, so that no name, allowed as it may be, leads to the machines behind the firewall.
 */
import type { LookupAddress } from "node:dns";
import { lookup as systemLookup } from "node:dns/promises";
import { isIP } from "node:net";
import { RobsonError } from "../../core/errors.ts";
import { type Lookup, rangeOf } from "../repository-host.ts";

export interface AllowedDomain {
  /** In lower case, without a final dot; the ending after `*` where `isWildcard`. */
  name: string;
  isWildcard: boolean;
  ports: readonly number[];
}

export interface Target {
  /** As it was asked for; an IPv6 address without brackets. */
  host: string;
  port: number;
}

/** Why a target is not reached: text for whoever asked, and for the operator. */
export interface Refusal {
  refused: string;
}

const DEFAULT_PORTS = [80, 443];
const MAX_NAME = 253;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Reads the list; a mistake in it is a `CONFIG_INVALID`. */
export function parseDomains(entries: readonly string[]): AllowedDomain[] {
  return entries.map(parseDomain);
}

/** The addresses at which an allowed target is to be reached, all of them checked; or why it is not reached. */
export async function resolveTarget(
  target: Target,
  { allowed, lookup = lookupAll }: { allowed: readonly AllowedDomain[]; lookup?: Lookup | undefined },
): Promise<LookupAddress[] | Refusal> {
  const host = normalName(target.host);
  if (host === undefined || !isListed({ host, port: target.port }, allowed)) {
    return { refused: `${target.host}:${target.port} is not in sandbox.allow_domains` };
  }
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  const addresses = await lookup(host).catch(() => []);
  if (addresses.length === 0) return { refused: `${host} has no address` };
  for (const { address } of addresses) {
    const range = rangeOf(address);
    if (range !== "unicast" && !isListed({ host: address.toLowerCase(), port: target.port }, allowed)) {
      return {
        refused: `${host} has the ${range} address ${address}, which is not in sandbox.allow_domains`,
      };
    }
  }
  return addresses;
}

function isListed({ host, port }: Target, allowed: readonly AllowedDomain[]): boolean {
  return allowed.some(({ name, isWildcard, ports }) => {
    if (!ports.includes(port)) return false;
    return isWildcard ? isIP(host) === 0 && host.endsWith(`.${name}`) : host === name;
  });
}

function parseDomain(entry: string): AllowedDomain {
  const [, star = "", host = "", port] =
    /^(\*\.)?(\[[^\]]+\]|[^:/[\]*@\s]+)(?::(\d{1,5}))?$/.exec(entry) ?? [];
  const isWildcard = star !== "";
  const name = normalName(host.startsWith("[") ? host.slice(1, -1) : host);
  const isBroad = isWildcard && (name === undefined || isIP(name) !== 0 || !name.includes("."));
  const number = port === undefined ? undefined : Number(port);
  if (name === undefined || isBroad || (number !== undefined && (number < 1 || number > 65_535))) {
    throw new RobsonError("CONFIG_INVALID", `Cannot read the domain "${entry}" of sandbox.allow_domains`, {
      hint: 'Give a name without scheme and path, as "example.org", "*.example.org" or "example.org:8443"',
    });
  }
  return { name, isWildcard, ports: number === undefined ? DEFAULT_PORTS : [number] };
}

/** A name or address in the one notation in which it is compared; undefined for what is neither. */
function normalName(host: string): string | undefined {
  if (isIP(host) === 6) return URL.parse(`http://[${host}]/`)?.hostname.slice(1, -1);
  if (isIP(host) === 4) return host;
  const name = host.toLowerCase().replace(/\.$/, "");
  const labels = name.split(".");
  if (name.length > MAX_NAME || !labels.every((label) => LABEL.test(label))) return undefined;
  // 0x7f.1 and 2130706433 are addresses to some programs, and names to others.
  return /^(0x[0-9a-f]*|\d+)$/.test(labels.at(-1) ?? "") ? undefined : name;
}

function lookupAll(hostname: string): Promise<LookupAddress[]> {
  return systemLookup(hostname, { all: true });
}
