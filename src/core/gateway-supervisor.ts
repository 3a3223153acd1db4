/**
 * Keeps one gateway listening: when its `start` ends or fails before the loop stops, it is started again, with
 * backoff. One that is exclusive is started when no other process listens. Its state is there to be shown.
 */
import { backoffMs } from "./backoff.ts";
import { type Clock, wait } from "./clock.ts";
import { messageOf, stackField } from "./errors.ts";
import type { Accepted, Gateway } from "./gateway.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { InboundMessage } from "./message-event.ts";
import { LISTENER_SHARD, type ShardKey } from "./shards.ts";

export interface GatewayHealth {
  name: string;
  /** `waiting`: to be started again. `standby`: another process listens. */
  state: "listening" | "waiting" | "standby" | "stopped";
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
  /** See `Tenure`. */
  holds(gateway: string, shard: number): boolean;
  onEnded(): void;
}

export class GatewaySupervisor {
  readonly health: GatewayHealth;
  readonly #options: SupervisorOptions;
  #onShards: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.health = { name: options.gateway.name, state: "stopped" };
  }

  /** Resolves when the signal is aborted and the gateway has ended. Never rejects. */
  async run(): Promise<void> {
    const { gateway, accept, signal, log, clock, limits, random } = this.#options;
    for (let attempts = 1; ; attempts += 1) {
      await this.#mayListen();
      if (signal.aborted) break;
      this.health.state = "listening";
      const startedAt = clock.now();
      let stack = {};
      try {
        await gateway.start({ accept, signal, log });
        if (signal.aborted) break;
        this.health.lastError = "Its start() ended by itself; it has to listen until its signal is aborted";
      } catch (error) {
        if (signal.aborted) break;
        this.health.lastError = messageOf(error);
        stack = stackField(error);
      }
      // One that listened for long starts over with the short wait.
      if (clock.now() - startedAt > limits.maxBackoffMs) attempts = 1;
      const { backoffBaseMs: baseMs, maxGatewayBackoffMs: maxMs } = limits;
      const waitMs = backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs: 0, random });
      this.health.state = "waiting";
      const { lastError } = this.health;
      log.error({ gateway: gateway.name, attempts, waitMs, error: lastError, ...stack }, "gateway ended");
      await wait(clock, waitMs, signal).catch(() => undefined);
    }
    this.health.state = "stopped";
    this.#options.onEnded();
  }

  /** See `Holder`. */
  forget(): void {
    // A gateway goes on listening until it has ended.
  }

  *busy(): Iterable<ShardKey> {
    const { name: gateway, state } = this.health;
    if (state === "listening" || state === "waiting") yield { gateway, shard: LISTENER_SHARD };
  }

  reread(): void {
    this.#onShards?.();
  }

  async #mayListen(): Promise<void> {
    const { gateway, signal, holds, log } = this.#options;
    const mustWait = () => gateway.isExclusive && !holds(gateway.name, LISTENER_SHARD) && !signal.aborted;
    if (!mustWait()) return;
    this.health.state = "standby";
    log.info({ gateway: gateway.name }, "gateway stands by: another process listens");
    while (mustWait()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onShards = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
    }
  }
}
