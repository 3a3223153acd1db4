/**
 * Signed messages (Standard Webhooks): who knows the inbound secret needs no token. The signature covers the id, the
 * time and the body exactly as it came; one that is older than the replay window is refused, and within the window
 * the id makes a copy a duplicate.
 */
import type { Context } from "hono";
import type { Webhook } from "standardwebhooks";
import type { Clock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";

/** How far the time of a signature may be from ours, either way; the library has the same. */
export const REPLAY_WINDOW_MS = 5 * 60 * 1000;

export interface InboundSignatures {
  /** What `ROBSON_WEBHOOK_INBOUND_SECRET` holds. */
  verifier: Webhook;
  clock: Clock;
}

/**
 * The `webhook-id` of a message whose signature is right, or undefined for one that is not signed. A signature that
 * is there must be right, whatever else the request brings.
 */
export function verifiedId(c: Context, body: Uint8Array, signatures: InboundSignatures): string | undefined {
  const { verifier, clock } = signatures;
  const id = c.req.header("webhook-id");
  const timestamp = c.req.header("webhook-timestamp");
  const signature = c.req.header("webhook-signature");
  if (signature === undefined) return undefined;
  if (!id || !timestamp) throw unauthorized("webhook-id or webhook-timestamp is missing");
  if (!/^\d{1,12}$/.test(timestamp)) throw unauthorized("webhook-timestamp is no number of seconds");
  const ageMs = clock.now() - Number(timestamp) * 1000;
  if (Math.abs(ageMs) > REPLAY_WINDOW_MS) {
    throw unauthorized(
      `its signature is ${ageMs > 0 ? "older" : "newer"} than ${REPLAY_WINDOW_MS / 1000} seconds`,
    );
  }
  try {
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
    verifier.verify(Buffer.from(body), headers, { jsonParse: false });
  } catch {
    // The library's own words tell no more, and belong to nobody who guesses.
    throw unauthorized("its signature is not that of this body with our secret");
  }
  return id;
}

function unauthorized(why: string): RobsonError {
  return new RobsonError("UNAUTHORIZED", `Cannot accept the message: ${why}`, {
    hint: "Sign it as Standard Webhooks has it, with the secret in ROBSON_WEBHOOK_INBOUND_SECRET, at the time of sending",
  });
}
