/**
 * The HTTP client behind callbacks: keeps connections alive, and connects to addresses only that it has checked
 * itself. Loaded at the first callback, because loading undici takes a quarter of a start.
 */
import { isIP, isIPv6, type LookupFunction } from "node:net";
import { Agent, buildConnector } from "undici";
import { withoutBrackets } from "../../core/allowed-hosts.ts";
import { type AllowedHosts, checkAddresses, isListed, type Lookup } from "./callback-address.ts";

export interface CallbackAgentOptions {
  allowed: AllowedHosts;
  lookup: Lookup;
  connectTimeoutMs: number;
}

export function createCallbackAgent(options: CallbackAgentOptions): Agent {
  // The deadline of the attempt covers headers and body.
  return new Agent({ connect: callbackConnector(options), headersTimeout: 0, bodyTimeout: 0 });
}

/**
 * A connector for undici that only connects to addresses it has checked itself. A literal address never
 * reaches a socket's `lookup`, which is why it is checked apart.
 */
function callbackConnector(options: CallbackAgentOptions): buildConnector.connector {
  const { allowed, lookup, connectTimeoutMs } = options;
  const connectorWith = (socketLookup: LookupFunction) =>
    // One connection per request under way is simple to reason about; HTTP/2 would share them.
    buildConnector({ timeout: connectTimeoutMs, allowH2: false, lookup: socketLookup });
  const connectListed = connectorWith(socketLookupOf(lookup, () => undefined));
  const connectChecked = connectorWith(socketLookupOf(lookup, checkAddresses));

  return (target, callback) => {
    const hostname = withoutBrackets(target.hostname);
    if (isListed({ ...target, hostname: isIPv6(hostname) ? `[${hostname}]` : hostname }, allowed)) {
      return connectListed(target, callback);
    }
    try {
      if (isIP(hostname) !== 0) checkAddresses(hostname, [hostname]);
    } catch (error) {
      return queueMicrotask(() => callback(error instanceof Error ? error : new Error(String(error)), null));
    }
    connectChecked(target, callback);
  };
}

/** Adapts a lookup to what sockets ask for, and lets `check` see every address before one is connected to. */
function socketLookupOf(
  lookup: Lookup,
  check: (hostname: string, addresses: string[]) => void,
): LookupFunction {
  return (hostname, options, callback) => {
    const resolve = async () => {
      const addresses = await lookup(hostname);
      const [first] = addresses;
      if (!first) throw Object.assign(new Error(`${hostname} has no address`), { code: "ENOTFOUND" });
      check(
        hostname,
        addresses.map(({ address }) => address),
      );
      return { addresses, first };
    };
    resolve().then(
      ({ addresses, first }) => {
        if (options.all) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (error) => callback(error, "", 0),
    );
  };
}
