/**
 * The webhook gateway: messages come in as `POST /message` (inbound.ts), events go out as signed POSTs to the
 * callback URL that a message named as its channel (callback-client.ts, callback-address.ts). A message whose
 * channel is no URL gets no deliveries; its asker reads the events from the server. HTTP itself, its errors
 * and its bearer token belong to the server, which mounts `routes`.
 */
import { lookup as dnsLookup } from "node:dns/promises";
import type { Hono } from "hono";
import { Webhook } from "standardwebhooks";
import { type Clock, systemClock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import { defineGateway, type Gateway, type GatewayContext } from "../../core/gateway.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { Delivery } from "../../core/message-event.ts";
import { checkChannelId, type Lookup, parseAllowedHosts, parseCallbackUrl } from "./callback-address.ts";
import { CallbackClient } from "./callback-client.ts";
import { inboundRoutes } from "./inbound.ts";

export interface WebhookOptions {
  /** Default: `webhook`. */
  name?: string | undefined;
  /** Hosts (`host` or `host:port`) that may be called back although their address is private. */
  allowCallbackHosts?: readonly string[] | undefined;
  /** A Standard Webhooks secret, `whsec_…`; without one deliveries are not signed. */
  signingSecret?: string | undefined;
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
  /** `POST /message`. Throws `RobsonError`s for the server that mounts it to render. */
  routes: Hono;
}

const DEFAULT_MAX_BODY_BYTES = 1024 * 1024;

/** The bridge to whoever speaks HTTP. */
export function webhook(options: WebhookOptions = {}): WebhookGateway {
  const {
    name = "webhook",
    maxBodyBytes = DEFAULT_MAX_BODY_BYTES,
    clock = systemClock,
    defaultChannelId,
  } = options;
  const allowed = parseAllowedHosts(options.allowCallbackHosts ?? []);
  const signer = options.signingSecret === undefined ? undefined : signerOf(options.signingSecret);
  if (defaultChannelId !== undefined) checkChannelId(defaultChannelId, allowed);
  const client = new CallbackClient({
    allowed,
    clock,
    lookup: options.lookup ?? ((hostname) => dnsLookup(hostname, { all: true })),
    sendTimeoutMs: options.sendTimeoutMs ?? DEFAULT_LIMITS.sendTimeoutMs,
  });
  let running: GatewayContext | undefined;

  return defineGateway<WebhookGateway>({
    name,
    ...(defaultChannelId !== undefined && { defaultChannelId }),
    routes: inboundRoutes({ running: () => running, allowed, maxBodyBytes }),

    async start(context) {
      if (!signer) {
        context.log.warn(
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

function signerOf(secret: string): Webhook {
  try {
    if (!secret.startsWith("whsec_")) throw new Error("It has no whsec_ prefix");
    return new Webhook(secret);
  } catch (cause) {
    throw new RobsonError(
      "CONFIG_INVALID",
      "Cannot use the signing secret of the webhook gateway: it is malformed",
      {
        hint: 'Give "whsec_" and 24 to 64 random bytes in base64, as from: echo "whsec_$(openssl rand -base64 32)"',
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
