/**
 * `POST /message`: reads one message from JSON, hands it to the inbox and acknowledges it after its commit.
 * Errors are thrown as `RobsonError`s; the server renders them.
 */
import { Hono } from "hono";
import { z } from "zod";
import { RobsonError } from "../../core/errors.ts";
import type { GatewayContext } from "../../core/gateway.ts";
import type { InboundMessage } from "../../core/message-event.ts";
import { type AllowedHosts, checkChannelId } from "./callback-address.ts";
import { type InboundSignatures, verifiedId } from "./inbound-signature.ts";
import { invalid, parseBody, readBody } from "./request-body.ts";

export interface InboundOptions {
  /** The context of the gateway's `start`; undefined while it does not run. */
  running: () => GatewayContext | undefined;
  allowed: AllowedHosts;
  maxBodyBytes: number;
  /** How signed messages are recognised; without it signatures are not looked at. */
  signatures: InboundSignatures | undefined;
}

/** Where messages without a `channel_id` are stored. */
const DEFAULT_CHANNEL_ID = "webhook";

/** null and '' mean "none", as they do in the deliveries that a poster gets. */
const optionalText = (description: string) =>
  z
    .string()
    .nullish()
    .transform((text) => text || undefined)
    .describe(description);

/** The body of `POST /message`. */
export const messageSchema = z.strictObject({
  content: z.string().describe("The text"),
  channel_id: optionalText("Where the answer goes: an http(s) URL is a callback. Default: webhook"),
  user_id: optionalText("Who asks"),
  thread_ts: optionalText("The thread within the channel; its messages are handled in order"),
  external_id: optionalText("Your id of the message: a second one with it is a duplicate and runs nothing"),
});

/** What `POST /message` answers. */
export const acceptedSchema = z.strictObject({
  conversation_id: z.int().min(1),
  duplicate: z.boolean().describe("Whether the message was there already; nothing runs then"),
});

/** The routes that the server mounts for this gateway. */
export function inboundRoutes(options: InboundOptions): Hono {
  const routes = new Hono();
  routes.post("/message", async (c) => {
    const context = options.running();
    if (!context || context.signal.aborted) {
      throw new RobsonError("STOPPING", "Cannot accept the message: the webhook gateway is not running", {
        hint: "Send it again with the same external_id after the time in Retry-After",
      });
    }
    const body = await readBody(c, options.maxBodyBytes);
    // Before anything of the body is believed.
    const webhookId = options.signatures && verifiedId(c, body, options.signatures);
    const message = parseMessage(body, { key: c.req.header("idempotency-key"), webhookId });
    checkChannelId(message.channelId, options.allowed);
    const accepted = await context.accept(message);
    const answer: z.output<typeof acceptedSchema> = {
      conversation_id: accepted.conversationId,
      duplicate: accepted.isDuplicate,
    };
    return c.json(answer, 202);
  });
  return routes;
}

function parseMessage(
  body: Uint8Array,
  headers: { key: string | undefined; webhookId: string | undefined },
): InboundMessage {
  const { content, channel_id, user_id, thread_ts, external_id } = parseBody(body, messageSchema);
  if (content.trim() === "") throw invalid('field "content" is empty', 'Say what is to be done, as "/help"');
  const key = headers.key || undefined;
  if (external_id !== undefined && key !== undefined && key !== external_id) {
    throw invalid(
      "external_id and the header Idempotency-Key differ",
      "Give one of them, or both with the same value",
    );
  }
  const idempotencyKey = external_id ?? key ?? headers.webhookId;
  return {
    content,
    channelId: channel_id ?? DEFAULT_CHANNEL_ID,
    ...(user_id !== undefined && { userId: user_id }),
    ...(thread_ts !== undefined && { threadTs: thread_ts }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}
