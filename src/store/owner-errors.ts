/** What an owner is told when it writes what it may not; both databases say it in the same words. */
import { RobsonError } from "../core/errors.ts";
import type { Change } from "../core/store.ts";

/** For a write after another process has taken the database over, or after `release`. */
export function leaseLost(location: string): RobsonError {
  return new RobsonError("LEASE_LOST", `Cannot write to ${location}: another process has taken it over`, {
    hint: "This process stops; look why it was held up, and start it again where it is still wanted",
  });
}

/** For an attempt at a delivery that someone else has closed. */
export function deliveryClosed(): RobsonError {
  return new RobsonError("DELIVERY_CLOSED", "Cannot go on with the delivery: someone else has closed it", {
    hint: "Nothing is to be done; its last error says why it was closed",
  });
}

/** Throws when a change names a gateway that its owner does not run: nobody here could make the delivery. */
export function checkGateways(
  owned: { has(name: string): boolean },
  { events = [], delivery }: Change,
): void {
  for (const event of events) {
    for (const { gateway } of event.deliveries) checkGateway(owned, gateway);
    checkGateway(owned, event.subscribersOf ?? null);
  }
  if (delivery) checkGateway(owned, delivery.gateway);
}

/** Throws for a gateway that its owner does not run. */
export function checkGateway(owned: { has(name: string): boolean }, gateway: string | null): void {
  if (gateway === null || owned.has(gateway)) return;
  throw new RobsonError(
    "STORE_REFUSED_ROW",
    `Cannot store what names gateway "${gateway}": it does not run here`,
    {
      hint: "Register the gateway before the loop starts",
    },
  );
}
