/**
 * What a worker is given for one attempt. All of it is its own, so that a worker can take parts out of it, or spread it
 * into a context of its own; what few workers ask for is made when it is asked for.
 */
import type { LazySignal } from "./lazy-signal.ts";
import type { Steps } from "./steps.ts";
import type { WorkerContext } from "./worker.ts";

export interface AttemptContextOptions
  extends Pick<WorkerContext, "emit" | "text" | "attempt" | "log" | "control" | "round"> {
  lazy: LazySignal;
  steps(): Steps;
}

export class AttemptContext implements WorkerContext {
  declare readonly signal: AbortSignal;
  readonly emit: WorkerContext["emit"];
  readonly text: string;
  readonly attempt: number;
  readonly log: WorkerContext["log"];
  readonly control: WorkerContext["control"];
  readonly round: number;
  readonly #options: AttemptContextOptions;

  constructor(options: AttemptContextOptions) {
    this.#options = options;
    this.emit = options.emit;
    this.text = options.text;
    this.attempt = options.attempt;
    this.log = options.log;
    this.control = options.control;
    this.round = options.round;
    Object.defineProperty(this, "signal", AttemptContext.#signal);
  }

  readonly step: WorkerContext["step"] = (name, work) => this.#options.steps().step(name, work);

  readonly effect: WorkerContext["effect"] = (name, effect) => this.#options.steps().effect(name, effect);

  readonly ask: WorkerContext["ask"] = (name, question) => this.#options.steps().ask(name, question);

  readonly sleep: WorkerContext["sleep"] = (name, ms) => this.#options.steps().sleep(name, ms);

  readonly waitFor: WorkerContext["waitFor"] = (name, event) => this.#options.steps().waitFor(name, event);

  /** One getter for all contexts: one of its own for each would cost a microsecond. */
  static readonly #signal = {
    enumerable: true,
    get(this: AttemptContext): AbortSignal {
      return this.#options.lazy.signal;
    },
  };
}
