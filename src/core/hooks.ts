/**
 * Hooks: what plugins are told after the fact, each time after the commit. The way of a message never waits for a
 * hook: what a callback throws is logged under its plugin's name, and one that never ends costs its plugin one of
 * its calls. A fact is told at most once: who ends the process in between takes it along.
 */
import type { Clock } from "./clock.ts";
import { messageOf, stackField } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Delivery, ReceivedMessage } from "./message-event.ts";
import type { EventKind } from "./process-event.ts";
import { toReceived } from "./received.ts";
import type { StoredMessage } from "./store.ts";

/** The points at which a plugin can be told, and what it is told. */
export interface Hooks {
  /** A message is stored: it came through a gateway of this process, or is taken over from another process. */
  "message.accepted": { message: ReceivedMessage };
  /** A message has ended. */
  "message.ended": {
    message: ReceivedMessage;
    outcome: "done" | "dead" | "stopped";
    /** Who handled it last; null for the loop itself. */
    worker: string | null;
    /** Of a dead letter. */
    error?: string;
  };
  /** An event is stored, and on its way. */
  "event.stored": {
    message: ReceivedMessage;
    event: { id: number; kind: EventKind; content: string; worker: string | null; createdAt: number };
  };
  /** A delivery has ended. */
  "delivery.ended": {
    delivery: Delivery;
    /** Superseded: a later event overtook this progress. Closed: somebody else closed it, as its subscriber left. */
    outcome: "delivered" | "dead" | "superseded" | "closed";
    /** Of a dead letter. */
    error?: string;
  };
}

export type HookPoint = keyof Hooks;

/** What a plugin attaches to a point. What it returns is not looked at, but for a promise that rejects. */
export type HookCallback<Point extends HookPoint> = (fact: Readonly<Hooks[Point]>) => unknown;

/** The names of all points. */
export const HOOK_POINTS: readonly HookPoint[] = [
  "message.accepted",
  "message.ended",
  "event.stored",
  "delivery.ended",
];

export interface HookRegistryOptions {
  clock: Clock;
  limits: Pick<Limits, "maxHookCalls">;
  log: Logger;
}

/** How often the log speaks of one plugin's hooks that fail, or are not called. */
const LOG_INTERVAL_MS = 60_000;

/** All callbacks of a loop, and the calls under way. */
export class HookRegistry {
  readonly #options: HookRegistryOptions;
  readonly #callbacks = new Map<HookPoint, { owner: HookOwner; callback: (fact: never) => unknown }[]>();
  /** By the plugin's name. */
  readonly #owners = new Map<string, HookOwner>();

  constructor(options: HookRegistryOptions) {
    this.#options = options;
  }

  /** From now on the callback is told what happens at the point. */
  attach<Point extends HookPoint>(
    plugin: string,
    { point, callback }: { point: Point; callback: HookCallback<Point> },
  ): void {
    const owner = this.#owners.get(plugin) ?? new HookOwner(plugin, this.#options);
    this.#owners.set(plugin, owner);
    this.#callbacks.set(point, [...(this.#callbacks.get(point) ?? []), { owner, callback }]);
  }

  /** Tells a fact to whoever attached to its point. Never throws; the fact is made only if somebody listens. */
  tell<Point extends HookPoint>(point: Point, makeFact: () => Hooks[Point]): void {
    const callbacks = this.#callbacks.get(point);
    if (!callbacks) return;
    // One object for all of them: none can change what the next one sees.
    const fact = frozen(makeFact());
    for (const { owner, callback } of callbacks) owner.call(point, () => callback(fact as never));
  }

  /** As `tell`, of a message. */
  tellOf<Point extends "message.accepted" | "message.ended" | "event.stored">(
    point: Point,
    message: StoredMessage,
    more: Omit<Hooks[Point], "message">,
  ): void {
    if (!this.#callbacks.has(point)) return;
    this.tell(point, () => ({ message: toReceived(message), ...more }) as Hooks[Point]);
  }

  /** Resolves when no call is under way. */
  async idle(): Promise<void> {
    await Promise.all([...this.#owners.values()].map((owner) => owner.idle()));
  }

  /** Says what the log has not been told yet, and what is left behind. */
  close(): void {
    for (const owner of this.#owners.values()) owner.close();
  }
}

/** The calls of one plugin. */
class HookOwner {
  readonly #plugin: string;
  readonly #options: HookRegistryOptions;
  readonly #failures: Tally;
  readonly #drops: Tally;
  #callsUnderWay = 0;
  #idle = Promise.withResolvers<void>();

  constructor(plugin: string, options: HookRegistryOptions) {
    this.#plugin = plugin;
    this.#options = options;
    const { log, clock } = options;
    this.#failures = new Tally(clock, (fields) => log.error({ plugin, ...fields }, "hook failed"));
    this.#drops = new Tally(clock, (fields) =>
      log.warn(
        { plugin, ...fields, maxHookCalls: options.limits.maxHookCalls },
        "hook not called: too many of its plugin's calls have not ended",
      ),
    );
    this.#idle.resolve();
  }

  call(point: HookPoint, callback: () => unknown): void {
    if (this.#callsUnderWay >= this.#options.limits.maxHookCalls) {
      this.#drops.add({ hook: point });
      return;
    }
    try {
      const result = callback();
      if (isThenable(result)) this.#await(point, result);
    } catch (error) {
      this.#failures.add({ hook: point, error: messageOf(error), ...stackField(error) });
    }
  }

  idle(): Promise<void> {
    return this.#idle.promise;
  }

  close(): void {
    this.#failures.flush();
    this.#drops.flush();
    if (this.#callsUnderWay === 0) return;
    const fields = { plugin: this.#plugin, calls: this.#callsUnderWay };
    this.#options.log.warn(fields, "hooks have not ended; left behind");
  }

  #await(point: HookPoint, result: PromiseLike<unknown>): void {
    if (this.#callsUnderWay === 0) this.#idle = Promise.withResolvers<void>();
    this.#callsUnderWay += 1;
    Promise.resolve(result)
      .catch((error: unknown) =>
        this.#failures.add({ hook: point, error: messageOf(error), ...stackField(error) }),
      )
      .finally(() => {
        this.#callsUnderWay -= 1;
        if (this.#callsUnderWay === 0) this.#idle.resolve();
      });
  }
}

/** What happens often and is said now and then: the first time at once, then with how often it was. */
class Tally {
  readonly #clock: Clock;
  readonly #say: (fields: object) => void;
  #count = 0;
  #lastFields: object = {};
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, say: (fields: object) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  add(fields: object): void {
    this.#count += 1;
    this.#lastFields = fields;
    if (this.#clock.now() >= this.#nextAt) this.flush();
  }

  flush(): void {
    if (this.#count === 0) return;
    this.#say({ ...this.#lastFields, count: this.#count });
    this.#count = 0;
    this.#nextAt = this.#clock.now() + LOG_INTERVAL_MS;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function frozen<Fact extends object>(fact: Fact): Fact {
  for (const part of Object.values(fact)) Object.freeze(part);
  return Object.freeze(fact);
}
