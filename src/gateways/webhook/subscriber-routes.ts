/** `POST`, `GET` and `DELETE /subscribers`: the callback URLs that get what has no callback of its own. */
import { Hono } from "hono";
import { z } from "zod";
import { RobsonError } from "../../core/errors.ts";
import type { Subscriber, SubscriberStore } from "../../core/subscriber.ts";
import { toStorable } from "../../core/text.ts";
import { type AllowedHosts, checkCallbackUrl, parseCallbackUrl } from "./callback-address.ts";
import { invalid, parseBody, readBody } from "./request-body.ts";

export interface SubscriberRoutesOptions {
  subscribers: SubscriberStore;
  allowed: AllowedHosts;
  maxBodyBytes: number;
  maxSubscribers: number;
}

/** An index of the database holds no longer ones. */
const MAX_URL_LENGTH = 2000;
const MAX_DESCRIPTION_LENGTH = 1000;

/** The body of `POST /subscribers`. */
export const newSubscriberSchema = z.strictObject({
  callback_url: z
    .string()
    .max(MAX_URL_LENGTH)
    .describe("An http or https URL; private addresses are refused"),
  description: z
    .string()
    .max(MAX_DESCRIPTION_LENGTH)
    .nullish()
    .transform((text) => text || undefined)
    .describe("For people"),
});

/** One subscriber, as it is answered. */
export const subscriberSchema = z.strictObject({
  id: z.int().min(1),
  callback_url: z.string(),
  description: z.string().nullable(),
  created_at: z.iso.datetime(),
});

export const subscribersSchema = z.strictObject({ subscribers: z.array(subscriberSchema) });

export function subscriberRoutes(options: SubscriberRoutesOptions): Hono {
  const { subscribers, allowed, maxBodyBytes, maxSubscribers } = options;
  const routes = new Hono();

  routes.post("/subscribers", async (c) => {
    const body = parseBody(await readBody(c, maxBodyBytes), newSubscriberSchema);
    const callbackUrl = checkedUrl(body.callback_url, allowed);
    const description = body.description === undefined ? null : toStorable(body.description);
    const added = await subscribers.add({ callbackUrl, description }, { maxSubscribers });
    if (!added) {
      throw invalid(
        `maxSubscribers (${maxSubscribers}) are there already`,
        "Delete one that is not needed, or raise webhook.max_subscribers in robson.toml",
      );
    }
    return c.json(toJson(added.subscriber), added.isNew ? 201 : 200);
  });

  routes.get("/subscribers", async (c) => {
    const answer: z.output<typeof subscribersSchema> = {
      subscribers: (await subscribers.list()).map(toJson),
    };
    return c.json(answer);
  });

  routes.delete("/subscribers/:id", async (c) => {
    const id = c.req.param("id");
    const isRemoved = /^[1-9]\d{0,14}$/.test(id) && (await subscribers.remove(Number(id)));
    if (isRemoved) return c.body(null, 204);
    throw new RobsonError("NOT_FOUND", `Cannot find subscriber "${id.slice(0, 20)}"`, {
      hint: "GET /subscribers lists those that are there",
    });
  });
  return routes;
}

/** In the notation of the URL parser, so that one receiver does not subscribe twice by spelling. */
function checkedUrl(text: string, allowed: AllowedHosts): string {
  const url = parseCallbackUrl(text);
  if (!url)
    throw invalid("callback_url is not an http or https URL", "Give one such as https://example.org/hook");
  checkCallbackUrl(url, allowed);
  url.hash = ""; // never sent
  return url.href;
}

function toJson({ id, callbackUrl, description, createdAt }: Subscriber): z.output<typeof subscriberSchema> {
  return { id, callback_url: callbackUrl, description, created_at: new Date(createdAt).toISOString() };
}
