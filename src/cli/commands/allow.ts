/** `robson allow`: the channels that a gateway hears which does not hear everyone. */
import { defineGateway } from "../../core/gateway.ts";
import { nearest } from "../../core/nearest.ts";
import { count } from "../../plugins/operator/words.ts";
import type { CliIo } from "../io.ts";
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
  const { isNew, known } = await withStore(config, async (store) => {
    const gateways = await store.operator.gateways();
    return {
      known: gateways.map((counts) => counts.gateway),
      isNew: await store.allowList.add({ gateway, channelId }),
    };
  });
  if (!known.includes(gateway)) warnOfUnknown(gateway, { io, known });
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

/** Its agent may come later; more often it is a slip, and the channel would stay unheard. */
function warnOfUnknown(gateway: string, { io, known }: { io: CliIo; known: string[] }): void {
  const meant = nearest(gateway, known);
  const question = meant === undefined ? "" : `; did you mean "${meant}"?`;
  io.err(`No agent has run a gateway "${gateway}" on this database so far${question}`);
}

/** Throws for what can be no gateway's name. */
function checkName(name: string): void {
  defineGateway({ name, start: async () => undefined, send: async () => undefined });
}
