/**
 * The platforms' side: people write until they are acknowledged, through whichever process listens, some messages
 * several times; and events arrive, or do not. A send that is cut off, by its signal or by the end of its process,
 * has arrived or has not; chance says which at that moment, and the platform knows from then on.
 */
import { DeliveryError, hasCode, messageOf } from "../../src/core/errors.ts";
import { type Accepted, defineGateway, type Gateway } from "../../src/core/gateway.ts";
import type { Delivery, InboundMessage } from "../../src/core/message-event.ts";
import type { Store } from "../../src/core/store.ts";
import { aMessage } from "../../src/testing/builders.ts";
import type { Random } from "./random.ts";
import { contentOf, DEFAULT_CHANNEL, type MessagePlan, type Scenario } from "./scenario.ts";
import type { Host, SimScheduler } from "./scheduler.ts";
import type { Watched, Witness } from "./witness.ts";

export interface PlatformOptions {
  scenario: Scenario;
  random: Random;
  scheduler: SimScheduler;
  witness: Witness;
  plans: Map<string, MessagePlan>;
  /** Where platforms and people live. */
  outside: Host;
  /** Of a process that is no owner. */
  store: Store;
  isCalm(): boolean;
}

interface Listener {
  process: Watched;
  gateway: string;
  accept(message: InboundMessage): Promise<Accepted>;
}

interface Post {
  plan: MessagePlan;
  host: Host | undefined;
  /** How often it was posted in vain. */
  failures: number;
}

/** The wait before the first repetition of a post; before each further one it is so much longer. */
const RETRY_MS = 1000;
const WORTH_ANOTHER_TRY = [
  "STOPPING",
  "OVERLOADED",
  "STORE_UNAVAILABLE",
  "STORE_BUSY",
  "LEASE_LOST",
] as const;

export class Platform {
  /** What has not been acknowledged yet. */
  readonly posts = new Set<Post>();
  /** The messages that someone is about to have ended. */
  readonly #stops = new Set<number>();
  readonly #stopped = new Set<number>();
  readonly #options: PlatformOptions;
  readonly #listeners = new Set<Listener>();
  readonly #inFlight = new Set<{ host: Host; cut: () => void }>();

  constructor(options: PlatformOptions) {
    this.#options = options;
    for (const plan of options.scenario.messages)
      for (let copy = 0; copy < plan.copies; copy += 1)
        this.posts.add({ plan, host: undefined, failures: 0 });
  }

  start(): void {
    const { scheduler, outside, random } = this.#options;
    for (const post of this.posts) {
      const { waitMs, copies } = post.plan;
      const laterMs = copies > 1 && random.chance(0.5) ? waitMs + random.between(0, 20_000) : waitMs;
      if (laterMs === 0) scheduler.later(outside, "write", () => this.#post(post));
      else scheduler.after(outside, laterMs, () => this.#post(post));
    }
  }

  /** Someone writes a message that was not among those of the beginning. */
  write(plan: MessagePlan): void {
    const { scenario, plans, scheduler, outside } = this.#options;
    scenario.messages.push(plan);
    plans.set(plan.key, plan);
    const post = { plan, host: undefined, failures: 0 };
    this.posts.add(post);
    scheduler.later(outside, "write", () => this.#post(post));
  }

  /** Whether nobody wants anything any more. */
  get isQuiet(): boolean {
    return this.posts.size + this.#stops.size === 0;
  }

  /** What was under way with that process is cut off; people write again elsewhere. */
  cutOff(host: Host): void {
    for (const listener of this.#listeners)
      if (listener.process.host === host) this.#listeners.delete(listener);
    this.#cutSends(host);
    for (const post of this.posts) if (post.host === host) this.#postAgain(post);
  }

  /** Its process stands still: what it had sent is on its way. */
  frozen(host: Host): void {
    this.#cutSends(host);
  }

  gateway(name: string, process: Watched): Gateway {
    const { scenario, scheduler } = this.#options;
    const { host } = process;
    return defineGateway({
      name,
      defaultChannelId: DEFAULT_CHANNEL,
      isExclusive: scenario.isExclusive && name === "b",
      start: async ({ accept, signal }) => {
        const listener = { process, gateway: name, accept };
        this.#listeners.add(listener);
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        this.#listeners.delete(listener);
        await scheduler.turn(host, "listening ends");
      },
      send: (delivery, { signal }) => this.#send(process, delivery, signal),
      ...(scenario.canFind ? { find: (delivery: Delivery) => this.#find(process, delivery) } : {}),
    });
  }

  #post(post: Post): void {
    const { scheduler, random, witness, outside, store } = this.#options;
    const { plan } = post;
    if (plan.by === "other process") {
      witness.acceptCalled(plan.key);
      const stored = store.insertUnowned(aMessage({ ...toInbound(plan), createdAt: scheduler.now() }));
      stored.then(
        (accepted) => this.#acknowledged(post, accepted),
        () => this.#postAgain(post),
      );
      return;
    }
    const open = [...this.#listeners].filter(
      ({ gateway, process }) => gateway === plan.gateway && process.host.state === "alive",
    );
    if (open.length === 0) {
      scheduler.after(outside, RETRY_MS, () => this.#post(post));
      return;
    }
    const { process, accept } = random.pick(open);
    post.host = process.host;
    scheduler.later(process.host, `post ${plan.key}`, () => {
      witness.acceptCalled(plan.key);
      const { gateway: _gateway, id: _id, role: _role, ...inbound } = toInbound(plan);
      accept(inbound as InboundMessage).then(
        (accepted) => this.#acknowledged(post, accepted),
        (error) => {
          if (!hasCode(error, ...WORTH_ANOTHER_TRY))
            witness.violated(`${plan.key} was refused: ${messageOf(error)}`);
          this.#postAgain(post);
        },
      );
    });
  }

  #acknowledged(post: Post, accepted: Accepted): void {
    this.#options.witness.acceptResolved(post.plan.key, accepted);
    this.posts.delete(post);
    const { stopAfterMs } = post.plan;
    const { conversationId } = accepted;
    if (stopAfterMs === null || this.#stopped.has(conversationId)) return;
    this.#stopped.add(conversationId);
    this.#stops.add(conversationId);
    this.#stopLater(conversationId, stopAfterMs);
  }

  #stopLater(conversationId: number, waitMs: number): void {
    const { scheduler, outside } = this.#options;
    if (waitMs === 0) scheduler.later(outside, "stop it", () => void this.#requestStop(conversationId));
    else scheduler.after(outside, waitMs, () => void this.#requestStop(conversationId));
  }

  /** By one who is no owner, until he is told that it is open and will be ended, or is not open. */
  async #requestStop(conversationId: number): Promise<void> {
    const { store, witness } = this.#options;
    witness.mayBeStopped.add(conversationId);
    try {
      const isOpen = await store.requestStop(conversationId, "someone");
      if (isOpen) witness.stopStored(conversationId);
      this.#stops.delete(conversationId);
    } catch {
      this.#stopLater(conversationId, RETRY_MS);
    }
  }

  #postAgain(post: Post): void {
    post.host = undefined;
    post.failures += 1;
    const { scheduler, outside } = this.#options;
    scheduler.after(outside, RETRY_MS * post.failures, () => this.#post(post));
  }

  async #send(process: Watched, delivery: Delivery, signal: AbortSignal): Promise<undefined> {
    const { scheduler, random, witness, scenario, isCalm } = this.#options;
    const { host } = process;
    if (delivery.attempt > 1 && !scenario.canFind) await witness.retryBegins(process, delivery);
    const ends = await witness.sendBegins(process, delivery);
    const trouble = !isCalm() && random.chance(scenario.sendTrouble) ? random.pick(TROUBLES) : undefined;
    const arrive = () => witness.arrived(process, delivery, { mayRepeat: !scenario.canFind });
    const flight = { host, cut: () => undefined as undefined };
    const isCut = new Promise<undefined>((resolve) => {
      flight.cut = () => {
        if (!this.#inFlight.delete(flight)) return undefined;
        if (trouble !== "refused" && random.chance(0.5)) arrive();
        resolve(undefined);
        return undefined;
      };
      signal.addEventListener("abort", flight.cut, { once: true });
    });
    this.#inFlight.add(flight);
    if (signal.aborted) flight.cut();
    // Its attempt is over then, whatever is still on the line.
    signal.addEventListener("abort", ends, { once: true });
    try {
      await Promise.race([isCut, trouble === "no answer" ? isCut : scheduler.turn(host, "send")]);
      const wasUnderWay = this.#inFlight.delete(flight);
      const hasFailed = wasUnderWay && (trouble === "refused" || trouble === "lost");
      if (hasFailed && !signal.aborted) witness.attemptFailed(delivery.id, delivery.attempt);
      if (!wasUnderWay) throw new DeliveryError("the line was cut", { retry: "later" });
      if (trouble === "refused") throw new DeliveryError("the channel is gone", { retry: "never" });
      if (trouble === "lost") throw new DeliveryError("the platform is down", { retry: "later" });
      arrive();
      await scheduler.turn(host, "sent");
      if (trouble === "arrived and lost") throw new DeliveryError("the answer is lost", { retry: "later" });
      return undefined;
    } finally {
      ends();
      signal.removeEventListener("abort", flight.cut);
    }
  }

  async #find(process: Watched, delivery: Delivery): Promise<boolean> {
    const { scheduler, witness } = this.#options;
    const { host } = process;
    await witness.retryBegins(process, delivery);
    await scheduler.turn(host, "find");
    const isThere = witness.arrivals.has(delivery.id);
    await scheduler.turn(host, "found");
    return isThere;
  }

  #cutSends(host: Host): void {
    for (const flight of this.#inFlight) if (flight.host === host) flight.cut();
  }
}

const TROUBLES = ["lost", "lost", "arrived and lost", "arrived and lost", "no answer", "refused"] as const;

function toInbound(plan: MessagePlan) {
  const { key, gateway, thread, userId } = plan;
  return {
    ...{ gateway, userId },
    channelId: gateway === null ? "nobody's" : "C1",
    threadTs: thread,
    content: contentOf(plan),
    idempotencyKey: key,
    id: `id of ${key} ${Math.random()}`,
    role: "user" as const,
  };
}
