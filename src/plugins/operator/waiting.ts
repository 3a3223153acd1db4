/**
 * What stands in the way of open work from outside: no process that runs the loop, none that has the gateway, none that
 * holds the thread yet. And which process it is that holds it, where several share the database. Pure.
 */
import type { Holder } from "../../core/operator-records.ts";
import type { Facts, Surroundings } from "./facts.ts";
import { at } from "./words.ts";

/** A message or a delivery, by who holds its thread. */
interface Held {
  holder: Holder | null;
}

/** The process that holds it now; undefined where none that lives does. */
export function holderNow({ holder }: Held, { owners }: Pick<Surroundings, "owners">): Holder | undefined {
  return holder !== null && owners.includes(holder.process) ? holder : undefined;
}

/** The one of several processes that holds it, unless that is the one whose open messages are known here. */
export function holderElsewhere(held: Held, surroundings: Surroundings): string | undefined {
  const { owners, answering } = surroundings;
  const holder = holderNow(held, surroundings)?.process;
  return owners.length > 1 && holder !== answering ? holder : undefined;
}

/** Undefined where the thread is not held elsewhere. */
export function whatIsKnownElsewhere(held: Held, surroundings: Surroundings): string | undefined {
  const holder = holderElsewhere(held, surroundings);
  if (holder === undefined) return undefined;
  const who =
    surroundings.answering === undefined
      ? "which does not answer at the configured address"
      : "another process than the one that answers here";
  return `is left to ${holder}, ${who}: whether it waits for a free slot there, or is about to begin, is known to that one alone`;
}

/** Undefined when a process that runs the loop holds it. */
export function whatWaitsForOwner(held: Held, surroundings: Surroundings): string | undefined {
  if (surroundings.owners.length === 0)
    return "waits for a process that runs the loop: none does now; start `robson agent`";
  if (holderNow(held, surroundings)) return undefined;
  return "waits for one of the processes that run the loop to take its thread over, which happens within seconds";
}

/** Undefined when the gateway runs, or would run once the loop does. */
export function whatWaitsForGateway(
  { gateway, since, ...held }: Held & { gateway: string | null; since: number },
  { facts, now }: { facts: Facts; now: number },
): string | undefined {
  const { gateways, owners, limits } = facts;
  if (gateway === null || gateways.names.includes(gateway)) return undefined;
  // Who holds its thread has the gateway.
  if (holderElsewhere(held, facts) !== undefined) return undefined;
  let where = "which the process that runs the loop does not have";
  if (owners.length > 1) where = "which none of the processes that run the loop has";
  else if (owners.length === 0 || gateways.isConfiguration) where = "which is not configured here";
  const deadAt = since + limits.maxUnregisteredGatewayMs;
  return `waits for gateway "${gateway}", ${where}; a dead letter ${at(deadAt, now)} if that stays so`;
}
