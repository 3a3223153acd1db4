/** Watches the runs: what is stored is not done again, and whatever a worker was told once it is told again. */
import { checkRun } from "./run-checks.ts";
import { NOBODY } from "./sim-run.ts";
import type { Watched } from "./witness.ts";
import type { DatabaseView } from "./world-database.ts";

export interface RunWitnessOptions {
  look(see: (view: DatabaseView) => void): Promise<void> | undefined;
  violated(text: string): void;
  isStale(process: Watched, view: DatabaseView): boolean;
}

/** A step of a run, or what it waits for. */
export interface Place {
  conversationId: number;
  name: string;
}

export interface GivenAnswer {
  run: number;
  name: string;
  value: string;
}

export class RunWitness {
  /** What someone has said to a run, and was told that it is its answer. */
  readonly answers: GivenAnswer[] = [];
  /** Called when something has happened of which a run (its id, or its message's key) may end. */
  onTrouble: (of: string | number) => void = () => undefined;
  readonly #options: RunWitnessOptions;
  /** How often a step was begun, by its place. */
  readonly #executions = new Map<string, number>();
  readonly #told = new Map<string, string>();
  /** How often something has failed in a run, by its message's key. */
  readonly #failures = new Map<string, number>();

  constructor(options: RunWitnessOptions) {
    this.#options = options;
  }

  /** Resolves with the number of this execution. */
  async stepBegins(process: Watched, { conversationId, name }: Place): Promise<number> {
    const { look, violated, isStale } = this.#options;
    const key = `${conversationId} ${name}`;
    const execution = (this.#executions.get(key) ?? 0) + 1;
    this.#executions.set(key, execution);
    await look((view) => {
      if (isStale(process, view)) return;
      const run = view.tables.runs.get(conversationId);
      const step = run?.steps.find((other) => other.name === name);
      if (run && run.endedAt !== null)
        violated(`${process.host.name} does step ${name} of run ${conversationId}, which is ${run.status}`);
      if (!step)
        violated(`${process.host.name} does step ${name} of run ${conversationId}, which is not begun`);
      else if (step.result !== null)
        violated(
          `${process.host.name} does step ${name} of run ${conversationId} again, whose result is stored`,
        );
    });
    return execution;
  }

  /** A worker was told what came of it. */
  async told(process: Watched, { conversationId, name, result }: Place & { result: string }): Promise<void> {
    const { look, violated, isStale } = this.#options;
    await look((view) => {
      if (isStale(process, view)) return;
      const key = `${conversationId} ${name}`;
      const before = this.#told.get(key) ?? result;
      this.#told.set(key, before);
      const what = `${process.host.name} is told "${result}" by ${name} of run ${conversationId}`;
      if (before !== result) violated(`${what}, and was told "${before}" before`);
      const { steps = [], decisions = [] } = view.tables.runs.get(conversationId) ?? {};
      const step = steps.find((other) => other.name === name);
      const decision = decisions.find((other) => other.name === name);
      const isOver = (result === NOBODY || result === "slept") && (decision?.dueAt ?? null) !== null;
      const stored = step ? step.result : decision?.answer;
      if (!isOver && stored !== JSON.stringify(result)) violated(`${what}, and stored is ${stored}`);
      checkRun(view.tables, { run: conversationId, violated });
    });
  }

  answered(answer: GivenAnswer): void {
    this.answers.push(answer);
  }

  failed(key: string): void {
    this.#failures.set(key, this.failuresOf(key) + 1);
    this.onTrouble(key);
  }

  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }
}
