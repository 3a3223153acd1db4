/**
 * The gateway of the command line. It is read by pull: whoever asked reads the events of his message from the
 * database, so that nothing is delivered and an answer outlives the command that asked for it.
 */
import { RobsonError } from "../../core/errors.ts";
import { type Accepted, defineGateway, type Gateway, type GatewayContext } from "../../core/gateway.ts";
import type { InboundMessage } from "../../core/message-event.ts";

export const CLI_GATEWAY = "cli";

export interface CliGateway extends Gateway {
  /** Resolves once the loop of this process accepts messages. */
  started: Promise<void>;
  /** Hands a message to the loop of this process, as soon as that has started the gateway. */
  say(message: InboundMessage): Promise<Accepted>;
}

export function cliGateway(): CliGateway {
  const context = Promise.withResolvers<GatewayContext>();
  return defineGateway({
    name: CLI_GATEWAY,
    started: context.promise.then(() => undefined),
    targets: () => [],
    isLocal: true,
    showsRefusals: true,
    async start(given) {
      context.resolve(given);
      await aborted(given.signal);
    },
    async send({ id }) {
      throw new RobsonError(
        "INTERNAL",
        `Cannot deliver ${id} through the gateway "${CLI_GATEWAY}": it is read by pull`,
        {
          hint: "Report this as a bug: messages of the command line have no deliveries",
        },
      );
    },
    async say(message) {
      const { accept } = await context.promise;
      return accept(message);
    },
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
