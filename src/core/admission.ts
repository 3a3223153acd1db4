/**
 * What stands before the inbox: a message as it came is checked, and refused while too much is open (overload.ts) or
 * where its channel or user may not be heard now (access.ts). With nothing configured none of it waits for anything,
 * so that messages reach the inbox in the order in which they came.
 */
import type { Access } from "./access.ts";
import type { Clock } from "./clock.ts";
import { hasCode } from "./errors.ts";
import type { Accepted } from "./gateway.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { InboundMessage } from "./message-event.ts";
import { toNewMessage } from "./new-message.ts";
import type { Overload } from "./overload.ts";
import type { NewMessage } from "./store.ts";
import type { StoreHealth } from "./store-health.ts";

/** What is known of a message when it is stored. */
export interface Admitted {
  /** Whether the loop itself is meant: such a message waits behind nothing. */
  isControl: boolean;
  /** It is not worked on, but answered with this. */
  refusal?: string;
}

export interface AdmissionOptions {
  overload: Overload;
  /** Of a loop, which knows how the database is. */
  storeHealth?: Pick<StoreHealth, "refuseWhileUnreachable">;
  access: Access;
  clock: Clock;
  limits: Limits;
  log: Logger;
  isControl(content: string): boolean;
  store(message: NewMessage, admitted: Admitted): Promise<Accepted>;
}

export class Admission {
  readonly #options: AdmissionOptions;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** See `SensoriumLoop`. */
  isControl(content: string): boolean {
    return this.#options.isControl(content);
  }

  /** See `GatewayContext.accept`. A gateway that does not await it must not end the process when a stranger's message is refused. */
  accept(gateway: string, inbound: InboundMessage): Promise<Accepted> {
    const { overload, storeHealth, clock, limits, log } = this.#options;
    try {
      const message = toNewMessage({ gateway, inbound, limits, now: clock.now() });
      const isControl = this.#options.isControl(message.content);
      storeHealth?.refuseWhileUnreachable();
      overload.admit({ isControl });
      const admitted = this.#admit(message, isControl);
      admitted.catch(ignore);
      return admitted;
    } catch (error) {
      if (hasCode(error, "MESSAGE_INVALID", "MESSAGE_TOO_LARGE"))
        log.info({ gateway, code: error.code, error: error.message }, "message refused");
      const refused = Promise.reject(error);
      refused.catch(ignore);
      return refused;
    }
  }

  async #admit(message: NewMessage, isControl: boolean): Promise<Accepted> {
    const { overload, access, store } = this.#options;
    let isOpen = false;
    try {
      const asked = access.ask(message, { isControl });
      const refusal = asked && (await asked);
      if (refusal && refusal.answer === undefined) throw refusal.error;
      // What is only answered waits behind no work either.
      const admitted =
        refusal?.answer === undefined ? { isControl } : { isControl: true, refusal: refusal.answer };
      const accepted = await store(message, admitted);
      isOpen = !accepted.isDuplicate;
      return accepted;
    } finally {
      overload.stored(isOpen);
    }
  }
}

const ignore = () => undefined;
