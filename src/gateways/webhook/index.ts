/**
 * The webhook gateway: messages come in as `POST /message` (inbound.ts), events go out as signed POSTs to the
 * callback URL that a message named as its channel (callback-client.ts, callback-address.ts). The events of a
 * message whose channel is no URL go to every subscriber, and its asker reads them from the server. HTTP itself,
 * its errors and its bearer token belong to the server, which mounts `routes`.
 */
import { lookup as dnsLookup } from "node:dns/promises";
import type { Hono } from "hono";
import { Webhook } from "standardwebhooks";
import { type Clock, systemClock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import { defineGateway, type Gateway, type GatewayContext } from "../../core/gateway.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { Delivery } from "../../core/message-event.ts";
import type { SubscriberStore } from "../../core/subscriber.ts";
import { webhookApi } from "./api.ts";
import { checkChannelId, type Lookup, parseAllowedHosts, parseCallbackUrl } from "./callback-address.ts";
import { CallbackClient } from "./callback-client.ts";
import { inboundRoutes } from "./inbound.ts";
import { subscriberRoutes } from "./subscriber-routes.ts";

export interface WebhookOptions {
  /** Default: `webhook`. */
  name?: string | undefined;
  /** Hosts (`host` or `host:port`) that may be called back although their address is private. */
  allowCallbackHosts?: readonly string[] | undefined;
  /** A Standard Webhooks secret, `whsec_…`; without one deliveries are not signed. */
  signingSecret?: string | undefined;
  /** The secret, `whsec_…`, of those who sign their messages instead of bringing a token. */
  inboundSecret?: string | undefined;
  /** Who subscribes; without it there are no subscribers and no routes for them. */
  subscribers?: SubscriberStore | undefined;
  /** How many there may be. Default: 1000. */
  maxSubscribers?: number | undefined;
  /** How long one attempt may take, redirects included. Default: 30 s. */
  sendTimeoutMs?: number | undefined;
  /** The longest body of `POST /message`. Default: 1 MiB. */
  maxBodyBytes?: number | undefined;
  /** The callback URL for messages that came through no gateway. */
  defaultChannelId?: string | undefined;
  /** How names are resolved. Default: as the machine does. */
  lookup?: Lookup | undefined;
  clock?: Clock | undefined;
}

export interface WebhookGateway extends Gateway {
  /** `POST /message` and the subscribers. They throw `RobsonError`s for the server that mounts them to render. */
  routes: Hono;
  /** The paths of those routes that check a signature themselves, and so need no token. */
  signedPaths: string[];
  /** The routes in terms of OpenAPI. */
  api(): ReturnType<typeof webhookApi>;
}

const DEFAULT_MAX_BODY_BYTES = 1024 * 1024;
const DEFAULT_MAX_SUBSCRIBERS = 1000;

/** The bridge to whoever speaks HTTP. */
export function webhook(options: WebhookOptions = {}): WebhookGateway {
  const {
    name = "webhook",
    maxBodyBytes = DEFAULT_MAX_BODY_BYTES,
    clock = systemClock,
    defaultChannelId,
  } = options;
  const allowed = parseAllowedHosts(options.allowCallbackHosts ?? []);
  const signer =
    options.signingSecret === undefined ? undefined : webhookOf(options.signingSecret, "signing");
  if (defaultChannelId !== undefined) checkChannelId(defaultChannelId, allowed);
  const client = new CallbackClient({
    allowed,
    clock,
    lookup: options.lookup ?? ((hostname) => dnsLookup(hostname, { all: true })),
    sendTimeoutMs: options.sendTimeoutMs ?? DEFAULT_LIMITS.sendTimeoutMs,
  });
  const { subscribers, maxSubscribers = DEFAULT_MAX_SUBSCRIBERS } = options;
  const { inboundSecret } = options;
  const signatures =
    inboundSecret === undefined ? undefined : { verifier: webhookOf(inboundSecret, "inbound"), clock };
  let running: GatewayContext | undefined;
  const routes = inboundRoutes({ running: () => running, allowed, maxBodyBytes, signatures });
  if (subscribers)
    routes.route("/", subscriberRoutes({ subscribers, allowed, maxBodyBytes, maxSubscribers }));

  return defineGateway<WebhookGateway>({
    name,
    ...(defaultChannelId !== undefined && { defaultChannelId }),
    routes,
    signedPaths: signatures ? ["/message"] : [],
    api: () => webhookApi({ hasSubscribers: subscribers !== undefined, isSigned: signatures !== undefined }),
    hasSubscribers: subscribers !== undefined,
    showsRefusals: true,

    async start(context) {
      if (!signer) {
        context.log.info(
          { gateway: name },
          "no signing secret: receivers cannot tell deliveries from forgeries",
        );
      }
      running = context;
      client.start();
      await aborted(context.signal);
      running = undefined;
      client.stop();
    },

    async send(delivery, { signal }) {
      const body = JSON.stringify(callbackBody(delivery));
      const headers = callbackHeaders({ id: delivery.id, body, now: clock.now(), signer });
      await client.post({ url: delivery.target, headers, body, signal });
      return undefined;
    },

    targets: (message) => (parseCallbackUrl(message.channelId) ? [message.channelId] : []),
  });
}

/** What a receiver gets. */
function callbackBody(delivery: Delivery): object {
  return {
    content: delivery.content,
    kind: delivery.eventKind,
    delivery_id: delivery.id,
    event_id: delivery.eventId,
    conversation_id: delivery.conversationId,
    channel_id: delivery.channelId,
    thread_ts: delivery.threadTs ?? null,
    attempt: delivery.attempt,
  };
}

/** The headers of Standard Webhooks; the id is the same at each attempt, the time and signature are not. */
function callbackHeaders(delivery: {
  id: string;
  body: string;
  now: number;
  signer: Webhook | undefined;
}): Record<string, string> {
  const { id, body, now, signer } = delivery;
  return {
    "content-type": "application/json",
    "user-agent": "robson",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now / 1000)),
    ...(signer && { "webhook-signature": signer.sign(id, new Date(now), body) }),
  };
}

function webhookOf(secret: string, kind: "signing" | "inbound"): Webhook {
  try {
    if (!secret.startsWith("whsec_")) throw new Error("It has no whsec_ prefix");
    return new Webhook(secret);
  } catch (cause) {
    const variable = kind === "signing" ? "ROBSON_WEBHOOK_SECRET" : "ROBSON_WEBHOOK_INBOUND_SECRET";
    throw new RobsonError(
      "CONFIG_INVALID",
      `Cannot use the ${kind} secret of the webhook gateway: it is malformed`,
      {
        hint: `Set ${variable} to "whsec_" and 24 to 64 random bytes in base64, as from: echo "whsec_$(openssl rand -base64 32)"`,
        cause,
      },
    );
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
