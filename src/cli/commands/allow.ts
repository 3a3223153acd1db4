/** `robson allow`: the channels that a gateway hears which does not hear everyone. */
import { defineGateway } from "../../core/gateway.ts";
import { count } from "../../plugins/operator/words.ts";
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";

export async function listAllowed(
  { io, config, isJson }: CommandContext,
  gateway?: string,
): Promise<undefined> {
  const channels = await withStore(config, (store) => store.allowList.list(gateway));
  for (const channel of channels)
    io.out(isJson ? JSON.stringify(channel) : `${channel.gateway}  ${channel.channelId}`);
  if (!isJson) io.err(channels.length === 0 ? "No channel is allowed" : count(channels.length, "channel"));
}

export async function allowChannel(
  { io, config, isJson }: CommandContext,
  gateway: string,
  channelId: string,
): Promise<undefined> {
  checkName(gateway);
  const isNew = await withStore(config, (store) => store.allowList.add({ gateway, channelId }));
  if (isJson) io.out(JSON.stringify({ gateway, channelId, isNew }));
  else io.out(`${channelId} of ${gateway} ${isNew ? "is allowed now" : "was allowed already"}`);
}

export async function disallowChannel(
  { io, config, isJson }: CommandContext,
  gateway: string,
  channelId: string,
): Promise<undefined> {
  const wasThere = await withStore(config, (store) => store.allowList.remove({ gateway, channelId }));
  if (isJson) io.out(JSON.stringify({ gateway, channelId, wasThere }));
  else io.out(`${channelId} of ${gateway} ${wasThere ? "is not allowed any more" : "was not allowed"}`);
}

/** Throws for what can be no gateway's name. */
function checkName(name: string): void {
  defineGateway({ name, start: async () => undefined, send: async () => undefined });
}
