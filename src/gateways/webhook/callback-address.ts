/**
 * Which addresses a callback may go to. A callback URL is chosen by whoever posts a message, so without this
 * check anyone could make Robson talk to the machines behind its firewall. Two places ask: the POST (what a
 * URL shows on its face) and every connection (what its name resolves to at that very moment, so that a name
 * which changes its address between check and use gains nothing).
 */
import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import {
  type AllowedHosts,
  isAllowedHost,
  PLATFORM_ADDRESSES,
  withoutBrackets,
} from "../../core/allowed-hosts.ts";
import { RobsonError } from "../../core/errors.ts";

export { type AllowedHosts, parseAllowedHosts } from "../../core/allowed-hosts.ts";

/** Resolves a name to all of its addresses. */
export type Lookup = (hostname: string) => Promise<LookupAddress[]>;

const PUBLIC_IPV6: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3];

/** The text as a URL when it is an http(s) one, exactly as the HTTP client will read it. */
export function parseCallbackUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined;
}

/** Throws `CALLBACK_REFUSED` when a channel id looks like a URL and cannot be called back. */
export function checkChannelId(channelId: string, allowed: AllowedHosts): void {
  const url = parseCallbackUrl(channelId);
  if (url) {
    checkCallbackUrl(url, allowed);
    return;
  }
  // Trimmed as the URL parser would; an id like "team:general" names a channel and is no URL.
  const scheme = /^[\0- ]*([a-z][a-z0-9+.-]*):\/\//i.exec(channelId)?.[1];
  if (scheme === undefined) return;
  throw new RobsonError(
    "CALLBACK_REFUSED",
    `Cannot use a "${scheme.slice(0, 20)}:" channel id as a callback URL`,
    {
      hint: "Give a well-formed http or https URL, or a channel name without ://",
    },
  );
}

/** Throws `CALLBACK_REFUSED` for what is wrong on the face of a URL; names are resolved when connecting. */
export function checkCallbackUrl(url: URL, allowed: AllowedHosts): void {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new RobsonError("CALLBACK_REFUSED", `Cannot call back over "${url.protocol}"`, {
      hint: "Use an http or https URL",
    });
  }
  if (url.username !== "" || url.password !== "") {
    throw new RobsonError(
      "CALLBACK_REFUSED",
      `Cannot call back ${url.origin}: the URL contains credentials`,
      {
        hint: "Remove user and password from the URL; deliveries are authenticated by their signature",
      },
    );
  }
  if (isListed(url, allowed)) return;
  const hostname = withoutBrackets(url.hostname);
  if (isIP(hostname) !== 0) checkAddresses(hostname, [hostname]);
  if (/(^|\.)localhost\.?$/.test(hostname)) throw refusal(hostname, "is this machine");
}

/** Whether the operator has listed the host with that port. */
export function isListed(
  { protocol, hostname, port }: { protocol: string; hostname: string; port: string },
  allowed: AllowedHosts,
): boolean {
  return isAllowedHost({ hostname, port: port || (protocol === "https:" ? "443" : "80") }, allowed);
}

/** Refuses a host when any of its addresses is not a public one: a mixed answer is an attack or a mistake. */
export function checkAddresses(hostname: string, addresses: string[]): void {
  for (const address of addresses) {
    const range = rangeOf(address);
    if (range !== "unicast") throw refusal(hostname, `has the ${range} address ${address}`);
  }
}

/** The kind of an address; `unicast` means public. */
function rangeOf(address: string): string {
  if (!ipaddr.isValid(address)) return "unreadable";
  // `process` turns an IPv4-mapped IPv6 address into the IPv4 address that would be reached.
  const parsed = ipaddr.process(address);
  if (PLATFORM_ADDRESSES.has(parsed.toString())) return "platform";
  const range = parsed.range();
  // Outside 2000::/3 nothing is public; ::127.0.0.1 lies there and has no range of its own.
  if (range === "unicast" && parsed.kind() === "ipv6" && !parsed.match(PUBLIC_IPV6)) return "reserved";
  return range;
}

function refusal(hostname: string, why: string): RobsonError {
  return new RobsonError("CALLBACK_REFUSED", `Cannot call back ${hostname}: it ${why}`, {
    hint: "Use a public address, or list the host in webhook.allow_callback_hosts",
  });
}
