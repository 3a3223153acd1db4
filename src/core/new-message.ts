/** What a gateway hands over, checked and made fit to be stored. */
import { randomUUID } from "node:crypto";
import { RobsonError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { InboundMessage } from "./message-event.ts";
import { named } from "./named.ts";
import { nearest } from "./nearest.ts";
import type { NewMessage } from "./store.ts";
import { byteLength, toStorable } from "./text.ts";

interface Inbound {
  gateway: string | null;
  inbound: InboundMessage;
  limits: Pick<Limits, "maxContentBytes" | "maxIdBytes">;
  now: number;
}

/** A message as it will be stored, or `MESSAGE_INVALID` / `MESSAGE_TOO_LARGE`. */
export function toNewMessage({ gateway, inbound, limits, now }: Inbound): NewMessage {
  if (typeof inbound !== "object" || inbound === null) {
    throw invalid(`it is ${named(inbound)}`, "Pass { content, channelId, … }");
  }
  // No list of its keys: this is asked of every message.
  for (const field in inbound) if (!isField(field) && Object.hasOwn(inbound, field)) throw unknown(field);
  const isAddressed: unknown = inbound.isAddressed ?? true;
  if (typeof isAddressed !== "boolean") {
    throw invalid(
      `its isAddressed is ${named(isAddressed)}, not true or false`,
      "Pass isAddressed as a boolean",
    );
  }
  const id = (field: string, value: string | undefined) =>
    checkedText({ ...idOf(field, limits), value: value ?? "" });
  if (typeof inbound.content === "string" && inbound.content.trim() === "") {
    throw invalid(
      "its content is empty",
      "Leave it out in the gateway, or pass what there is to say about it, such as the names of its attachments",
    );
  }
  return {
    id: randomUUID(),
    gateway,
    // Not "" where there is none: an answer could go nowhere.
    channelId: checkedText({ ...idOf("channelId", limits), value: inbound.channelId }),
    threadTs: id("threadTs", inbound.threadTs),
    userId: id("userId", inbound.userId),
    role: "user",
    content: checkedText({
      field: "content",
      value: inbound.content,
      maxBytes: limits.maxContentBytes,
      limit: "maxContentBytes",
      key: "max_content_bytes",
    }),
    isAddressed,
    idempotencyKey:
      inbound.idempotencyKey === undefined ? null : id("idempotencyKey", inbound.idempotencyKey),
    createdAt: now,
  };
}

const FIELDS: readonly string[] = [
  "content",
  "channelId",
  "userId",
  "threadTs",
  "idempotencyKey",
  "isAddressed",
] satisfies (keyof InboundMessage)[];

function isField(name: string): boolean {
  return FIELDS.includes(name);
}

/** What it was for would be missing without a word: its thread, or that it is a copy. */
function unknown(field: string): RobsonError {
  const meant = nearest(field, FIELDS);
  return invalid(
    `it has no field "${field}"`,
    meant === undefined ? `Leave it out; the fields are ${FIELDS.join(", ")}` : `Did you mean "${meant}"?`,
  );
}

function idOf(field: string, { maxIdBytes: maxBytes }: Inbound["limits"]) {
  return { field, maxBytes, limit: "maxIdBytes", key: "max_id_bytes" };
}

function invalid(why: string, hint: string): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot accept a message: ${why}`, { hint });
}

function checkedText(check: {
  field: string;
  value: unknown;
  maxBytes: number;
  limit: string;
  /** The same limit, as robson.toml has it. */
  key: string;
}): string {
  const { field, value, maxBytes, limit, key } = check;
  if (typeof value !== "string") {
    throw invalid(`its ${field} is ${named(value)}, not text`, `Pass ${field} as a string`);
  }
  const text = toStorable(value);
  // A unit of UTF-16 takes three bytes of UTF-8 at the most: few texts need to be counted.
  const bytes = text.length * 3 > maxBytes ? byteLength(text) : 0;
  if (bytes > maxBytes) {
    throw new RobsonError("MESSAGE_TOO_LARGE", `Cannot accept a message: its ${field} has ${bytes} bytes`, {
      hint: `At most ${maxBytes} are taken; the limit is ${limit} (limits.${key} in robson.toml)`,
    });
  }
  return text;
}
