/**
 * `robson server`: HTTP alone. Messages are stored for whichever process runs the loop, now or later; events are read
 * from the records. Any number of these may run beside one agent.
 */
import { admissionWithoutLoop } from "../admission-without-loop.ts";
import { createLog } from "../log.ts";
import type { CommandContext } from "../program.ts";
import { configuredWebhook, startHttp } from "../start-http.ts";
import { withStore } from "../with-store.ts";

/** Resolves after a graceful stop. */
export async function server({ io, config, isJson }: CommandContext): Promise<undefined> {
  const log = createLog({ io, config, isJson });
  const interrupted = io.catchSignals();
  // The clock's timers do not keep a process alive; here the server does, until it is told to stop.
  try {
    await withStore(config, async (store) => {
      const gateway = configuredWebhook(config, store);
      const admission = admissionWithoutLoop({ store, config, log, gateway });
      const stop = new AbortController();
      const listening = gateway.start({
        log,
        signal: stop.signal,
        accept: (inbound) => admission.accept(gateway.name, inbound),
      });
      const running = await startHttp({
        ...{ store, config, log, gateway },
        health: () => ({ isReady: true }),
        isControl: (content) => admission.isControl(content),
      });
      if (!interrupted.aborted)
        await new Promise((resolve) => interrupted.addEventListener("abort", resolve, { once: true }));
      log.info({}, "stopping; a second signal ends at once");
      await running.close();
      stop.abort(new Error("The server is stopping"));
      await listening;
    });
  } finally {
    log.close();
  }
  return undefined;
}
