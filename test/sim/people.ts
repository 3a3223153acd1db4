/**
 * Those who answer the runs' questions and tell of the events that they wait for: in the thread, or beside it as
 * someone who is no owner; too early, too late, twice, or as the wrong person. In the end everyone gets an answer.
 */
import type { Store } from "../../src/core/store.ts";
import { Errands, type ErrandsOptions } from "./errands.ts";
import type { Platform } from "./platform.ts";
import type { ReplyPlan, SignalPlan } from "./run-plans.ts";
import { type MessagePlan, plainMessage, type Scenario } from "./scenario.ts";
import type { Witness } from "./witness.ts";

export interface PeopleOptions extends ErrandsOptions {
  scenario: Scenario;
  witness: Witness;
  platform: Platform;
  /** Of a process that is no owner. */
  store: Store;
}

/** A question of a run, or what it waits for. */
export interface Awaited {
  plan: MessagePlan;
  name: string;
}

const RETRY_MS = 1000;
/** How often those look who have the last word. */
const LOOK_MS = 10_000;

export class People {
  readonly #options: PeopleOptions;
  readonly #errands: Errands;
  readonly #known = new Set<string>();
  /** The questions that someone has an eye on, until they are settled or their runs have ended. */
  readonly #watched = new Set<string>();

  constructor(options: PeopleOptions) {
    this.#options = options;
    this.#errands = new Errands(options);
  }

  get isQuiet(): boolean {
    return this.#errands.isQuiet;
  }

  /** Tells of the events that come long before anyone waits for them. */
  start(): void {
    for (const plan of this.#options.scenario.messages)
      for (const [place, operation] of (plan.run?.operations ?? []).entries()) {
        if (operation.kind !== "wait" || !operation.signal.isEarly) continue;
        this.#errands.after(operation.signal.afterMs, () =>
          this.#signal(signalKey({ plan, name: `op${place}` })),
        );
      }
  }

  /** A run is about to ask that. */
  asked(question: Awaited, replies: ReplyPlan[]): void {
    if (this.#isNew(question))
      for (const [index, reply] of replies.entries())
        this.#errands.after(reply.afterMs, () => this.#reply(question, { ...reply, index }));
    // Asked again by a run that was tried again, it has to be answered again.
    const watched = `${question.plan.key} ${question.name}`;
    if (this.#watched.has(watched)) return;
    this.#watched.add(watched);
    this.#errands.after(LOOK_MS, () => this.#lastWord(question));
  }

  /** A run is about to wait for that. */
  waits(event: Awaited, { isEarly, afterMs, afterMessage }: SignalPlan): void {
    if (isEarly || !this.#isNew(event)) return;
    this.#errands.after(afterMs, () => this.#signalWhenEnded(signalKey(event), afterMessage));
  }

  #isNew({ plan, name }: Awaited): boolean {
    const key = `${plan.key} ${name}`;
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    return true;
  }

  #reply(question: Awaited, { way, isRequester, index }: ReplyPlan & { index: number }): void {
    const { plan } = question;
    const { gateway, thread } = plan;
    if (way === "store") {
      this.#answer(question, `answer ${index}`);
      return;
    }
    const stranger = plan.userId === "U1" ? "U2" : "U1";
    const userId = isRequester ? plan.userId : stranger;
    this.#options.platform.write(plainMessage({ key: replyKey(question, index), userId, gateway, thread }));
  }

  #answer(question: Awaited, value: string): void {
    const { store, scheduler, witness } = this.#options;
    const run = witness.accepted.get(question.plan.key) ?? 0;
    const { name } = question;
    this.#errands.ask(
      () => store.runs.answer(run, { name, value, by: "someone", at: scheduler.now() }),
      (isTaken) => isTaken && witness.runs.answered({ run, name, value }),
      RETRY_MS,
    );
  }

  /** Whoever sees that it still waits for an answer, and would wait for ever. */
  #lastWord(question: Awaited): void {
    this.#errands.look((tables) => {
      const run = this.#options.witness.accepted.get(question.plan.key) ?? 0;
      const { status } = tables.message(run) ?? {};
      const decision = tables.runs.get(run)?.decisions.find(({ name }) => name === question.name);
      const isSettled = decision && (decision.answeredAt !== null || decision.dueAt !== null);
      if (isSettled || status === "done" || status === "dead") {
        this.#watched.delete(`${question.plan.key} ${question.name}`);
        return;
      }
      if (decision) this.#answer(question, "the last word");
      this.#errands.after(LOOK_MS, () => this.#lastWord(question));
    });
  }

  #signalWhenEnded(key: string, message: string | null): void {
    if (message === null) this.#signal(key);
    else this.#signalAfter(key, message);
  }

  #signalAfter(key: string, message: string): void {
    this.#errands.look((tables) => {
      const id = this.#options.witness.accepted.get(message) ?? 0;
      const { status } = tables.message(id) ?? {};
      if (status === "done" || status === "dead") this.#signal(key);
      else this.#errands.after(LOOK_MS, () => this.#signalAfter(key, message));
    });
  }

  #signal(key: string): void {
    const { store, scheduler } = this.#options;
    const tell = () => store.runs.signal(key, { value: key, at: scheduler.now() });
    this.#errands.ask(tell, () => undefined, RETRY_MS);
  }
}

/** By which an event is known, and what it says. */
export function signalKey({ plan, name }: Awaited): string {
  return `signal of ${plan.key} ${name}`;
}

/** The key of the message that answers it. */
export function replyKey({ plan, name }: Awaited, index: number): string {
  return `${plan.key}-${name}-${index}`;
}
