/** What stands in the way of open work from outside: no process that runs the loop, or none that has the gateway. Pure. */
import type { Facts } from "./facts.ts";
import { at } from "./words.ts";

/** Undefined when some process runs the loop. */
export function whatWaitsForOwner({ owner }: Facts): string | undefined {
  if (owner !== undefined) return undefined;
  return "waits for a process that runs the loop: none does now; start `robson agent`";
}

/** Undefined when the gateway runs, or would run once the loop does. */
export function whatWaitsForGateway(
  { gateway, since }: { gateway: string | null; since: number },
  { facts, now }: { facts: Facts; now: number },
): string | undefined {
  const { gateways, owner, limits } = facts;
  if (gateway === null || gateways.names.includes(gateway)) return undefined;
  const where =
    owner === undefined || gateways.isConfiguration
      ? "which is not configured here"
      : "which the process that runs the loop does not have";
  const deadAt = since + limits.maxUnregisteredGatewayMs;
  return `waits for gateway "${gateway}", ${where}; a dead letter ${at(deadAt, now)} if that stays so`;
}
