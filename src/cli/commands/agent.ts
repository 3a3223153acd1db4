/** `robson agent`: the loop on the configured gateways, with the HTTP server, until it is told to stop. */
import { createLog } from "../log.ts";
import type { CommandContext } from "../program.ts";
import { startAgent } from "../start-agent.ts";
import { tellOfSuddenEnd } from "../sudden-end.ts";
import { withStore } from "../with-store.ts";

export interface AgentOptions {
  tui?: boolean;
}

/** Resolves after a graceful stop; rejects when the database was lost to another process. */
export async function agent(context: CommandContext, options: AgentOptions): Promise<number | undefined> {
  if (options.tui === true) return (await import("../tui/run-tui.ts")).runTui(context);
  const { io, config, isJson } = context;
  const log = createLog({ io, config, isJson });
  const interrupted = io.catchSignals();
  const watched = tellOfSuddenEnd(log);
  try {
    await withStore(config, async (store) => {
      const running = await startAgent({ store, config, log });
      const stop = () => {
        log.info({}, "stopping; a second signal ends at once");
        running.stop().catch((error: unknown) => log.error({ err: error }, "could not stop in order"));
      };
      interrupted.addEventListener("abort", stop, { once: true });
      if (interrupted.aborted) stop();
      await running.ended;
    });
  } finally {
    watched();
    log.close();
  }
  return undefined;
}
