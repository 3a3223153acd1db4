/**
 * What stands before the inbox, for a process that stores messages and works on none: the limits and the rules are
 * those of the loop.
 */
import type { Config } from "../config/load-config.ts";
import { Access, OPEN_ACCESS } from "../core/access.ts";
import { Admission } from "../core/admission.ts";
import { systemClock } from "../core/clock.ts";
import type { Gateway } from "../core/gateway.ts";
import type { Logger } from "../core/logger.ts";
import { Overload } from "../core/overload.ts";
import { Routing } from "../core/routing.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { configuredWorkers } from "./start-loop.ts";

export interface AdmissionWithoutLoopOptions {
  store: OpenedStore;
  config: Config;
  log: Logger;
  /** One that shows refusals itself: nobody here could answer for it. */
  gateway: Gateway;
}

export function admissionWithoutLoop(options: AdmissionWithoutLoopOptions): Admission {
  const { store, config, log, gateway } = options;
  const { limits } = config;
  const routing = new Routing();
  for (const worker of configuredWorkers({ store, config, log })) routing.register(worker);
  const shared = { store: store.admission, clock: systemClock, limits, log };
  const rules = { ...OPEN_ACCESS, ...config.access };
  return new Admission({
    ...shared,
    overload: new Overload(shared),
    access: new Access({ ...shared, rules, gateways: new Map([[gateway.name, gateway]]) }),
    isControl: (content) => routing.isControl(content),
    store: (message) => store.insertUnowned(message),
  });
}
