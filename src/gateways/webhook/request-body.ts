/** The JSON body of a request: bounded, UTF-8, and what is wrong with it in terms of its fields. */
import type { Context } from "hono";
import type { z } from "zod";
import { RobsonError } from "../../core/errors.ts";
import { preview } from "../../core/text.ts";

/** The bytes of a JSON request, exactly as they came. */
export async function readBody(c: Context, maxBodyBytes: number): Promise<Uint8Array> {
  const mediaType = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (!/^application\/([^/]+\+)?json$/.test(mediaType)) {
    // Browsers may not send JSON to a foreign site unasked, which this check relies on.
    throw invalid("the content type is not JSON", "Send JSON with the header content-type: application/json");
  }
  return readBytes(c, maxBodyBytes);
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

/** The body as the schema has it, or `MESSAGE_INVALID` with the field that is wrong. */
export function parseBody<Schema extends z.ZodObject>(bytes: Uint8Array, schema: Schema): z.output<Schema> {
  const parsed = schema.safeParse(parseJson(decode(bytes)));
  if (parsed.success) return parsed.data;
  const known = Object.keys(schema.shape).join(", ");
  const required = Object.keys(schema.shape).filter(
    (name) => !schema.shape[name]?.safeParse(undefined).success,
  );
  throw invalid(
    preview(describe(parsed.error), 300),
    `Known fields are ${known}; only ${required.join(", ")} is required`,
  );
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalid("the body is not UTF-8", "Encode the JSON as UTF-8", { cause });
  }
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
    if (issue.code === "too_big") return `field "${field}" is longer than ${issue.maximum} characters`;
    return field === "" ? "the body is not an object" : `field "${field}" is missing or not a string`;
  });
  return problems.join("; ");
}

/** For a request that is not of the expected form. */
export function invalid(why: string, hint: string, { cause }: { cause?: unknown } = {}): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot accept the request: ${why}`, { hint, cause });
}

function tooLarge(maxBodyBytes: number): RobsonError {
  return new RobsonError(
    "MESSAGE_TOO_LARGE",
    `Cannot accept the request: its body is longer than maxBodyBytes (${maxBodyBytes} bytes)`,
    { hint: "Send a shorter message, or raise webhook.max_body_bytes in robson.toml" },
  );
}
