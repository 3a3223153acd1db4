/**
 * `POST /message`: reads one message from JSON, hands it to the inbox and acknowledges it after its commit.
 * Errors are thrown as `RobsonError`s; the server renders them.
 */
import { type Context, Hono } from "hono";
import { z } from "zod";
import { RobsonError } from "../../core/errors.ts";
import type { GatewayContext } from "../../core/gateway.ts";
import type { InboundMessage } from "../../core/message-event.ts";
import { preview } from "../../core/text.ts";
import { type AllowedHosts, checkChannelId } from "./callback-address.ts";

export interface InboundOptions {
  /** The context of the gateway's `start`; undefined while it does not run. */
  running: () => GatewayContext | undefined;
  allowed: AllowedHosts;
  maxBodyBytes: number;
}

/** Where messages without a `channel_id` are stored. */
const DEFAULT_CHANNEL_ID = "webhook";

/** null and '' mean "none", as they do in the deliveries that a poster gets. */
const optionalText = z
  .string()
  .nullish()
  .transform((text) => text || undefined);

const messageSchema = z.strictObject({
  content: z.string(),
  channel_id: optionalText,
  user_id: optionalText,
  thread_ts: optionalText,
  external_id: optionalText,
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
    const message = parseMessage(await readBody(c, options.maxBodyBytes));
    checkChannelId(message.channelId, options.allowed);
    const accepted = await context.accept(message);
    return c.json({ conversation_id: accepted.conversationId, duplicate: accepted.isDuplicate }, 202);
  });
  return routes;
}

async function readBody(c: Context, maxBodyBytes: number): Promise<string> {
  const mediaType = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (!/^application\/([^/]+\+)?json$/.test(mediaType)) {
    // Browsers may not send JSON to a foreign site unasked, which this check relies on.
    throw invalid("the content type is not JSON", "Send JSON with the header content-type: application/json");
  }
  const bytes = await readBytes(c, maxBodyBytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalid("the body is not UTF-8", "Encode the JSON as UTF-8", { cause });
  }
}

async function readBytes(c: Context, maxBodyBytes: number): Promise<Uint8Array> {
  const declaredBytes = Number(c.req.header("content-length") ?? Number.NaN);
  if (declaredBytes > maxBodyBytes) throw tooLarge(maxBodyBytes);
  // Node reads exactly as many bytes as were declared; only a chunked body has to be counted.
  if (declaredBytes >= 0 && c.req.header("transfer-encoding") === undefined) {
    return new Uint8Array(await c.req.arrayBuffer());
  }
  const chunks: Uint8Array[] = [];
  let readBytesCount = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    readBytesCount += chunk.length;
    if (readBytesCount > maxBodyBytes) throw tooLarge(maxBodyBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseMessage(text: string): InboundMessage {
  const parsed = messageSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    const known = Object.keys(messageSchema.shape).join(", ");
    throw invalid(
      preview(describe(parsed.error), 300),
      `Known fields are ${known}; only content is required`,
    );
  }
  const { content, channel_id, user_id, thread_ts, external_id } = parsed.data;
  return {
    content,
    channelId: channel_id ?? DEFAULT_CHANNEL_ID,
    ...(user_id !== undefined && { userId: user_id }),
    ...(thread_ts !== undefined && { threadTs: thread_ts }),
    ...(external_id !== undefined && { idempotencyKey: external_id }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the body, which belongs into no log; so it is no cause either.
    throw invalid("the body is not valid JSON", 'Send an object such as {"content": "/help"}');
  }
}

/** What is wrong, in terms of the fields that the poster sent. */
function describe(error: z.ZodError): string {
  const problems = error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys")
      return `unknown field ${issue.keys.map((key) => `"${key}"`).join(", ")}`;
    const field = issue.path.join(".");
    return field === "" ? "the body is not an object" : `field "${field}" is missing or not a string`;
  });
  return problems.join("; ");
}

function invalid(why: string, hint: string, { cause }: { cause?: unknown } = {}): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot accept the message: ${why}`, { hint, cause });
}

function tooLarge(maxBodyBytes: number): RobsonError {
  return new RobsonError(
    "MESSAGE_TOO_LARGE",
    `Cannot accept the message: its body is longer than maxBodyBytes (${maxBodyBytes} bytes)`,
    { hint: "Send a shorter message, or raise the limit of the webhook gateway" },
  );
}
