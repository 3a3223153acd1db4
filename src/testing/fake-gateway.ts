/** A gateway whose platform is the test: what was sent stands in `sent`, and `say` is a person writing. */
import { DeliveryError, RobsonError } from "../core/errors.ts";
import { type Accepted, defineGateway, type Gateway, type GatewayContext } from "../core/gateway.ts";
import type { Delivery, InboundMessage } from "../core/message-event.ts";

export interface FakeGatewayOptions {
  name?: string;
  /** How many sends fail before the first that does not; Infinity: all of them. */
  failures?: number;
  /** What a failing send throws. Default: trouble worth another attempt. */
  failWith?: (delivery: Delivery) => Error;
  /** Called at each send, before it counts as arrived; may wait or throw. */
  onSend?: (delivery: Delivery, context: { signal: AbortSignal }) => Promise<void>;
  find?: NonNullable<Gateway["find"]>;
  targets?: NonNullable<Gateway["targets"]>;
  defaultChannelId?: string;
  isPublic?: boolean;
  showsRefusals?: boolean;
  isLocal?: boolean;
}

export interface FakeGateway extends Gateway {
  /** What arrived, in the order of arrival. */
  readonly sent: Delivery[];
  /** Every attempt, arrived or not. */
  readonly attempted: Delivery[];
  /** Someone writes. Defaults: channel "C1", user "U1", no thread. */
  say(content: string, more?: Partial<InboundMessage>): Promise<Accepted>;
  /** What arrived, as `kind: content`. */
  texts(): string[];
}

export function fakeGateway(options: FakeGatewayOptions = {}): FakeGateway {
  const sent: Delivery[] = [];
  const attempted: Delivery[] = [];
  const { find, targets, defaultChannelId, isPublic, showsRefusals, isLocal } = options;
  let context: GatewayContext | undefined;
  let failures = options.failures ?? 0;

  return defineGateway<FakeGateway>({
    name: options.name ?? "fake",
    sent,
    attempted,
    texts: () => sent.map(({ eventKind, content }) => `${eventKind}: ${content}`),
    say(content, more = {}) {
      if (!context) {
        throw new RobsonError("STOPPING", "Nobody listens to the fake gateway", {
          hint: "Start the loop first",
        });
      }
      return context.accept({ content, channelId: "C1", userId: "U1", ...more });
    },
    async start(given) {
      context = given;
      await new Promise((resolve) => given.signal.addEventListener("abort", resolve, { once: true }));
    },
    async send(delivery, sendContext) {
      attempted.push(delivery);
      if (failures > 0) {
        failures -= 1;
        throw options.failWith?.(delivery) ?? new DeliveryError("the platform is down", { retry: "later" });
      }
      await options.onSend?.(delivery, sendContext);
      sent.push(delivery);
      return undefined;
    },
    ...(find ? { find } : {}),
    ...(targets ? { targets } : {}),
    ...(defaultChannelId === undefined ? {} : { defaultChannelId }),
    ...(isPublic === undefined ? {} : { isPublic }),
    ...(showsRefusals === undefined ? {} : { showsRefusals }),
    ...(isLocal === undefined ? {} : { isLocal }),
  });
}
