/**
 * Who may send requests. With a token: whoever knows it. Without one: programs on this machine, but no web
 * page that happens to be open in a browser here, neither directly nor through a name that resolves to loopback.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIPv4 } from "node:net";
import type { Context, MiddlewareHandler } from "hono";
import { RobsonError } from "../core/errors.ts";

/** Refuses every request without the bearer token. */
export function requireToken(token: string): MiddlewareHandler {
  const expected = digest(token);
  return async (c, next) => {
    const given = /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];
    // Digests have one length, so that the comparison tells nothing about the token, its length included.
    if (given === undefined || !timingSafeEqual(digest(given), expected)) {
      const why = given === undefined ? "it carries no bearer token" : "its bearer token is a different one";
      throw new RobsonError("UNAUTHORIZED", `Cannot accept the request: ${why}`, {
        hint: "Send the header authorization: Bearer TOKEN with the token that Robson was started with",
      });
    }
    await next();
  };
}

/** Whether a request brings a signature (Standard Webhooks) and no token. */
export function carriesSignature(c: Context): boolean {
  return c.req.header("webhook-signature") !== undefined && c.req.header("authorization") === undefined;
}

/** Refuses what a browser sends on behalf of a foreign web page. */
export function refuseForeignPages(): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header("host") ?? "";
    const url = URL.parse(`http://${host}`);
    if (!url || !isLoopbackHost(url.hostname))
      throw refused(`its Host header "${host}" is not this machine's`);
    const origin = c.req.header("origin");
    if (origin !== undefined && origin !== url.origin)
      throw refused(`it comes from the foreign page ${origin}`);
    await next();
  };
}

/** Whether a host name or address can only be reached from this machine. */
export function isLoopbackHost(hostname: string): boolean {
  const name = hostname.toLowerCase();
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1" || name === "[::1]") return true;
  return isIPv4(name) && name.startsWith("127.");
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function refused(why: string): RobsonError {
  return new RobsonError("ORIGIN_REFUSED", `Cannot accept the request: ${why}`, {
    hint: "Use http://127.0.0.1 with the port of Robson, or start Robson with a token",
  });
}
