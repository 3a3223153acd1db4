/**
 * The gateway of a terminal: each line that a person sends is a message in this session's own thread, and an
 * event counts as delivered once it is on the screen. It draws nothing itself; ink-terminal.ts does, or whoever
 * reads lines from a pipe. Where nobody looks any more, deliveries wait for the next terminal.
 */
import { DeliveryError } from "../../core/errors.ts";
import { type Accepted, defineGateway, type Gateway, type GatewayContext } from "../../core/gateway.ts";
import type { Delivery } from "../../core/message-event.ts";
import type { ShownEvent } from "./conversation.ts";

export const TUI_GATEWAY = "tui";

export interface TuiOptions {
  /** Default: `tui`. */
  name?: string;
  /** The thread of this session; unique, so that sessions do not wait for one another. */
  threadTs: string;
  userId: string;
}

export interface TuiGateway extends Gateway {
  /** Resolves once the loop of this process accepts messages. */
  started: Promise<void>;
  /** Hands a line to the loop. The key makes a second copy of the same line harmless. */
  say(line: { content: string; idempotencyKey: string }): Promise<Accepted>;
  /** Where events are shown from now on; resolves when one is on the screen. Undefined: nobody looks. */
  attach(show: ((event: ShownEvent) => Promise<void>) | undefined): void;
}

export function tuiGateway({ name = TUI_GATEWAY, threadTs, userId }: TuiOptions): TuiGateway {
  const running = Promise.withResolvers<GatewayContext>();
  let show: ((event: ShownEvent) => Promise<void>) | undefined;

  return defineGateway<TuiGateway>({
    name,
    defaultChannelId: name,
    isLocal: true,
    showsRefusals: true,
    started: running.promise.then(() => undefined),
    attach(given) {
      show = given;
    },
    async start(context) {
      running.resolve(context);
      await aborted(context.signal);
    },
    async say({ content, idempotencyKey }) {
      const { accept } = await running.promise;
      return accept({ content, channelId: name, threadTs, userId, idempotencyKey, isAddressed: true });
    },
    async send(delivery) {
      if (show === undefined) {
        throw new DeliveryError(`Cannot show ${delivery.id}: the terminal is closed`, {
          retry: "later",
          hint: "Start `robson agent --tui` again",
        });
      }
      await show(toShown(delivery));
      return undefined;
    },
  });
}

function toShown({ eventId, conversationId, eventKind, content }: Delivery): ShownEvent {
  return { eventId, conversationId, kind: eventKind, content };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
