/** Which requests are for the loop itself, as `/stop` and `/status` sent as messages: a flood of others must not keep them out. */
import type { Context } from "hono";

/** The longest body that is looked into: commands are short, and whoever is beyond his limit is not read for long. */
const MAX_CONTROL_BYTES = 4096;

/** Reads the body of a message; what reads it after that gets the same bytes. */
export function carriesControl(isControl: (content: string) => boolean): (c: Context) => Promise<boolean> {
  return async (c) => {
    if (c.req.method !== "POST" || c.req.path !== "/message") return false;
    // Only a chunked body may be longer than it says.
    const bytes = Number(c.req.header("content-length") ?? Number.NaN);
    if (!(bytes <= MAX_CONTROL_BYTES) || c.req.header("transfer-encoding") !== undefined) return false;
    const content = contentOf(await c.req.arrayBuffer());
    return content !== undefined && isControl(content);
  };
}

/** Undefined where it is none; what is wrong with it is for its route to say. */
function contentOf(body: ArrayBuffer): string | undefined {
  try {
    const { content } = JSON.parse(new TextDecoder().decode(body)) as { content?: unknown };
    return typeof content === "string" ? content : undefined;
  } catch {
    return undefined;
  }
}
