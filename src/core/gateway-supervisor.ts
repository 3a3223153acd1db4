/**
 * Keeps one gateway listening: when its `start` ends or fails before the loop stops, it is started again, with
 * backoff. Its state is there to be shown.
 */
import { backoffMs } from "./backoff.ts";
import { type Clock, wait } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Accepted, Gateway } from "./gateway.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { InboundMessage } from "./message-event.ts";

export interface GatewayHealth {
  name: string;
  state: "listening" | "waiting" | "stopped";
  lastError?: string;
}

export interface SupervisorOptions {
  gateway: Gateway;
  accept(message: InboundMessage): Promise<Accepted>;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  signal: AbortSignal;
}

export class GatewaySupervisor {
  readonly health: GatewayHealth;
  readonly #options: SupervisorOptions;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.health = { name: options.gateway.name, state: "stopped" };
  }

  /** Resolves when the signal is aborted and the gateway has ended. Never rejects. */
  async run(): Promise<void> {
    const { gateway, accept, signal, log, clock, limits, random } = this.#options;
    for (let attempts = 1; !signal.aborted; attempts += 1) {
      this.health.state = "listening";
      const startedAt = clock.now();
      try {
        await gateway.start({ accept, signal, log });
        if (signal.aborted) break;
        this.health.lastError = "It ended by itself";
      } catch (error) {
        if (signal.aborted) break;
        this.health.lastError = messageOf(error);
      }
      // One that listened for long starts over with the short wait.
      if (clock.now() - startedAt > limits.maxBackoffMs) attempts = 1;
      const { backoffBaseMs: baseMs, maxGatewayBackoffMs: maxMs } = limits;
      const waitMs = backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs: 0, random });
      this.health.state = "waiting";
      log.error({ gateway: gateway.name, attempts, waitMs, error: this.health.lastError }, "gateway ended");
      await wait(clock, waitMs, signal).catch(() => undefined);
    }
    this.health.state = "stopped";
  }
}
