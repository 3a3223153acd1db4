/** Where one check runs: a platform, its gateway, and everything that the check made, ended in the reverse order. */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../core/errors.ts";
import type { Accepted, Gateway } from "../../core/gateway.ts";
import { silentLogger } from "../../core/logger.ts";
import type { Delivery, InboundMessage } from "../../core/message-event.ts";
import { aDelivery } from "../builders.ts";
import type { TestEnd } from "../temporary-folder.ts";
import type { GatewayCheck, GatewayPart, TestPlatform } from "../test-gateway.ts";

/** What all checks of one gateway share. */
export interface GatewayKit<Platform extends TestPlatform> {
  createGateway(platform: Platform): Gateway;
  createPlatform(): Promise<Platform>;
  maxWaitMs: number;
}

/** A check with the parts that gateway and platform must have for it. */
export interface CheckOf extends GatewayCheck {
  needs: GatewayPart[];
}

/** A check whose `run` gets a bench of its own. */
export function check<Platform extends TestPlatform>(
  kit: GatewayKit<Platform>,
  { name, needs, on }: { name: string; needs: GatewayPart[]; on: (bench: Bench<Platform>) => Promise<void> },
): CheckOf {
  const run = async () => {
    const bench = new Bench(kit, await kit.createPlatform());
    try {
      await on(bench);
    } catch (error) {
      await bench.end().catch(() => undefined); // what was checked matters more
      throw error;
    }
    await bench.end();
  };
  return { name, needs, run };
}

type Accept = (message: InboundMessage) => Promise<Accepted>;

/** How often a platform sends a message again that was not taken. */
const MAX_WRITES = 5;
/** How often a gateway is started again that ended by itself. */
const MAX_STARTS = 10;
const POLL_MS = 5;

export class Bench<Platform extends TestPlatform> implements TestEnd {
  readonly platform: Platform;
  readonly gateway: Gateway;
  readonly #maxWaitMs: number;
  readonly #ends: (() => Promise<void>)[] = [];
  /** Why its listening ended the last time, if it did. */
  #startError: unknown;

  constructor(kit: GatewayKit<Platform>, platform: Platform) {
    this.#maxWaitMs = kit.maxWaitMs;
    this.platform = platform;
    this.#ends.push(() => closed(platform));
    this.gateway = kit.createGateway(platform);
  }

  onTestFinished(callback: () => Promise<void>): void {
    this.#ends.push(callback);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }

  /** Listens, started again where it ends by itself, as in a loop. `stop` resolves when its `start` has. */
  listen(accept: Accept): { stop(): Promise<void> } {
    const controller = new AbortController();
    const { signal } = controller;
    const run = async () => {
      for (let starts = 1; ; starts += 1) {
        try {
          await this.gateway.start({ accept, signal, log: silentLogger });
          if (signal.aborted) return;
        } catch (error) {
          this.#startError = error;
          if (signal.aborted || starts >= MAX_STARTS) throw error;
        }
        await sleep(POLL_MS);
      }
    };
    const ended = run();
    ended.catch(() => undefined);
    const stop = () => {
      controller.abort(new Error("The loop is stopping"));
      return this.within("resolve its start() after the signal was aborted", ended);
    };
    this.onTestFinished(async () => {
      await stop().catch(() => undefined); // the check is over: what it was about it has said
    });
    return { stop };
  }

  /** Someone writes; as platforms do, it is sent again when it was not taken. */
  async write(message: { id: string; content: string }): Promise<void> {
    const write = this.#has("write");
    for (let writes = 1; ; writes += 1) {
      try {
        await this.within("acknowledge a message", write.call(this.platform, message));
        return;
      } catch (error) {
        if (writes >= MAX_WRITES) throw error;
        await sleep(POLL_MS);
      }
    }
  }

  /** What has arrived at the platform. */
  arrived(): Promise<{ content: string; deliveryId?: string | undefined }[]> {
    return this.#has("arrived").call(this.platform);
  }

  stall(): Promise<void> {
    return this.#has("stall").call(this.platform);
  }

  /** One attempt, to the platform's target, that succeeds. */
  async send(more: Partial<Delivery> = {}): Promise<void> {
    const { signal } = new AbortController();
    await this.within("end a send", this.gateway.send(this.delivery(more), { signal }));
  }

  /** What an attempt throws; `during` is what happens while it is under way. */
  async failureOf(attempt: {
    delivery?: Partial<Delivery> | undefined;
    signal?: AbortSignal;
    during?: () => Promise<void>;
  }): Promise<unknown> {
    const { delivery, signal = new AbortController().signal, during } = attempt;
    const send = async () => this.gateway.send(this.delivery(delivery), { signal });
    const outcome = send().then(
      () => ({ hasArrived: true, error: undefined }),
      (error: unknown) => ({ hasArrived: false, error }),
    );
    await during?.();
    const { hasArrived, error } = await this.within("end a send", outcome);
    if (hasArrived) throw new Error("send resolved although the platform did not take the delivery");
    return error;
  }

  delivery(more: Partial<Delivery> = {}): Delivery {
    const target = this.#has("target");
    return aDelivery({ gateway: this.gateway.name, channelId: target, target, ...more });
  }

  /** Rejects when it takes too long. */
  async within<T>(what: string, promise: Promise<T>): Promise<T> {
    const { promise: isOver, reject } = Promise.withResolvers<never>();
    const tooLate = () => {
      const cause = this.#startError;
      const ended = cause === undefined ? "" : `; its start() has thrown: ${messageOf(cause)}`;
      const why = `The gateway "${this.gateway.name}" did not ${what} within ${this.#maxWaitMs} ms${ended}`;
      reject(new Error(why, { cause }));
    };
    const timer = setTimeout(tooLate, this.#maxWaitMs);
    try {
      return await Promise.race([promise, isOver]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when it is true. */
  async until(what: string, isTrue: () => Promise<boolean> | boolean): Promise<void> {
    let isOver = false;
    const poll = async () => {
      while (!isOver && !(await isTrue())) await sleep(POLL_MS);
    };
    await this.within(what, poll()).finally(() => {
      isOver = true;
    });
  }

  #has<Part extends "write" | "arrived" | "stall" | "target">(part: Part): NonNullable<Platform[Part]> {
    const value = this.platform[part];
    if (value !== undefined && value !== null) return value;
    throw new Error(`The platform has no ${part}; add it, or name what it lacks in "without"`);
  }
}

async function closed(platform: TestPlatform): Promise<void> {
  try {
    await platform.close();
  } catch (cause) {
    const why = `The close() of the platform has thrown: ${messageOf(cause)}; it has to end in whatever state the platform is`;
    throw new Error(why, { cause });
  }
}

/** Lets everything that can go on without the outside go on. */
export async function turns(): Promise<void> {
  for (let count = 0; count < 20; count += 1) await new Promise((resolve) => setImmediate(resolve));
}
