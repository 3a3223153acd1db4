/** The terminal's link to a loop of this process, which it starts: with the HTTP server for a person, without for a pipe. */
import { basename } from "node:path";
import type { Config } from "../../config/load-config.ts";
import type { Logger } from "../../core/logger.ts";
import { isFinal } from "../../core/process-event.ts";
import { TUI_GATEWAY, tuiGateway } from "../../gateways/tui/index.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import { startAgent } from "../start-agent.ts";
import { startLoop } from "../start-loop.ts";
import type { LinkOptions, TerminalLink } from "./link.ts";

export interface LocalLinkOptions extends LinkOptions {
  store: OpenedStore;
  config: Config;
  log: Logger;
  hasServer: boolean;
}

/** A link that takes messages; rejects with `ALREADY_RUNNING` when another process owns the database. */
export async function openLocalLink(options: LocalLinkOptions): Promise<TerminalLink> {
  const { store, config, log, threadTs, userId } = options;
  const gateway = tuiGateway({ threadTs, userId });
  // Before the loop starts: it may have answers from before for us at once.
  gateway.attach(options.onEvent);
  const shared = { store, config, log, gateways: [gateway] };
  const running = options.hasServer ? await startAgent(shared) : await startBareLoop(shared);
  const graceSeconds = Math.ceil(config.limits.stopGraceMs / 1000);
  return {
    greeting: [nameOf(store.location), ...(running.url === undefined ? [] : [running.url])].join(" · "),
    place: { gateway: TUI_GATEWAY, channelId: TUI_GATEWAY },
    workers: running.workers,
    farewell: {
      stopping: `Stopping; work under way has ${graceSeconds} s to end. Ctrl-C again ends at once.`,
      stopped: "Stopped. What has not ended is kept for the next start.",
    },
    say: async (line) => (await gateway.say(line)).conversationId,
    async hasEndedSilently(conversationId) {
      const message = await store.conversation(conversationId);
      if (message?.status !== "done" && message?.status !== "dead") return false;
      return !(await store.events(conversationId)).some(({ kind }) => isFinal(kind));
    },
    ended: running.ended,
    stop: () => running.stop(),
  };
}

/** The file's name alone: the person knows his folder, and the line is short. */
function nameOf(location: string): string {
  return location.includes("://") ? location : basename(location);
}

async function startBareLoop(options: Parameters<typeof startLoop>[0]) {
  const { loop, workers, ended } = await startLoop(options);
  ended.catch(() => undefined); // whoever awaits it hears of it
  return { url: undefined, workers, ended, stop: () => loop.stop() };
}
