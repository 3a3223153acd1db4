/** A worker's long work: the operations of its message's plan, each watched as it begins and as it is told its result. */
import { WorkerError } from "../../src/core/errors.ts";
import type { ReceivedMessage } from "../../src/core/message-event.ts";
import type { Effect, StepContext } from "../../src/core/run.ts";
import { defineWorker, type Worker, type WorkerContext } from "../../src/core/worker.ts";
import { replyKey, signalKey } from "./people.ts";
import { type OperationPlan, RUN_WORKERS, type RunPlan } from "./run-plans.ts";
import { contentOf, keyOf, type MessagePlan } from "./scenario.ts";
import { answerText, FAILED, type ProcessOptions } from "./sim-process.ts";
import type { Watched } from "./witness.ts";

export type RunWorkerOptions = ProcessOptions & { process: Watched };

/** The workers that do long work, and the one that hears what no run takes. */
export function runWorkers(options: RunWorkerOptions): Worker[] {
  const { maxConcurrent } = options.scenario;
  const shared = {
    description: "Does as its message's plan says",
    ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
  };
  const long = RUN_WORKERS.map((name) =>
    defineWorker({
      ...{ ...shared, name, command: `/${name}`, example: `/${name}` },
      ...(name === "ask" ? {} : { run: { takesNotes: name === "run", lane: ({ lane }) => lane } }),
      handle: (message, _args, context) => work(options, { message, context }),
    }),
  );
  const listener = defineWorker({
    ...{ ...shared, name: "listener", pattern: "^say ", example: "say it" },
    handle: (message, _args, context) => listen(options, { message, context }),
  });
  return [...long, listener];
}

interface Handling {
  message: ReceivedMessage;
  context: WorkerContext;
}

async function listen(
  { scheduler, host, process, witness, plans }: RunWorkerOptions,
  { message, context }: Handling,
): Promise<void> {
  const plan = planOf(plans, message);
  const ends = await witness.attemptBegins(process, message, context);
  context.signal.addEventListener("abort", ends);
  try {
    await scheduler.turn(host, "listen");
    await context.emit("completed", answerText(plan.key));
  } finally {
    ends();
  }
}

async function work(options: RunWorkerOptions, { message, context }: Handling): Promise<void> {
  const { witness, process, plans } = options;
  const plan = planOf(plans, message);
  const { operations, isBeside, failedRounds, failsBefore } = plan.run ?? NO_RUN;
  const fails = context.round <= failedRounds;
  const ends = await witness.attemptBegins(process, message, context);
  context.signal.addEventListener("abort", ends);
  if (context.signal.aborted) ends();
  const { conversationId } = message;
  const results: string[] = [];
  try {
    for (let place = 0; place < operations.length && !(fails && place >= failsBefore); ) {
      const group = [place];
      while (isBeside[place + group.length]) group.push(place + group.length);
      const done = group.map(async (at) => {
        const name = `op${at}`;
        const operation = operations[at] as OperationPlan;
        const result = await new Operation(options, { plan, name, conversationId, context }).do(operation);
        await witness.runs.told(process, { conversationId, name, result });
        return result;
      });
      results.push(...(await Promise.all(done)));
      place += group.length;
    }
    if (fails) {
      await context.emit("failed", failedText(plan.key, context.round));
      witness.runs.onTrouble(plan.key);
    } else await context.emit("completed", runAnswerText(plan.key, results));
  } finally {
    ends();
  }
}

const NO_RUN: Pick<RunPlan, "operations" | "isBeside" | "failedRounds" | "failsBefore"> = {
  ...{ operations: [], isBeside: [], failedRounds: 0, failsBefore: 0 },
};

interface Doing {
  plan: MessagePlan;
  name: string;
  conversationId: number;
  context: WorkerContext;
}

class Operation {
  readonly #options: RunWorkerOptions;
  readonly #doing: Doing;

  constructor(options: RunWorkerOptions, doing: Doing) {
    this.#options = options;
    this.#doing = doing;
  }

  async do(operation: OperationPlan): Promise<string> {
    const { plan, name, context } = this.#doing;
    const { people } = this.#options;
    const { kind } = operation;
    if (kind === "step") return context.step(name, (step) => this.#step(step, operation));
    if (kind === "effect") return context.effect(name, () => this.#effect(operation.failures));
    if (kind === "sleep") {
      await context.sleep(name, operation.ms);
      return "slept";
    }
    const timeout = operation.timeoutMs === null ? {} : { timeoutMs: operation.timeoutMs };
    if (kind === "wait") {
      people.waits({ plan, name }, operation.signal);
      const event = await context.waitFor(name, { key: signalKey({ plan, name }), ...timeout });
      return String(event ?? NOBODY);
    }
    const { replies, isChoice } = operation;
    people.asked({ plan, name }, replies);
    const choices = isChoice ? [`say ${replyKey({ plan, name }, 0)}`, "the last word"] : [];
    const answer = await context.ask(name, { text: `${plan.key} asks ${name}`, choices, ...timeout });
    return answer?.value ?? NOBODY;
  }

  async #step(
    step: StepContext,
    { emits, failures, readsNotes }: Extract<OperationPlan, { kind: "step" }>,
  ): Promise<string> {
    const { plan, name, conversationId } = this.#doing;
    const { witness, process } = this.#options;
    const execution = await witness.runs.stepBegins(process, { conversationId, name });
    await this.#turn(step.signal);
    for (let emit = 1; emit <= emits; emit += 1)
      step.emit("progress", `${plan.key} ${name} says ${emit} in ${execution}`);
    const notes = readsNotes ? await step.notes() : [];
    await this.#turn(step.signal);
    this.#failAsPlanned(failures);
    return stepResult({ name, execution, notes: notes.map(({ content }) => content) });
  }

  #effect(failures: number): Effect<string> {
    const { plan, name, conversationId, context } = this.#doing;
    const { outside, witness, process } = this.#options;
    const key = effectKey({ plan, name });
    return {
      key,
      find: async () => {
        await witness.runs.stepBegins(process, { conversationId, name });
        return outside.find(process, key);
      },
      make: async () => {
        try {
          const made = await outside.make(process, { key, signal: context.signal });
          this.#failAsPlanned(failures);
          return made;
        } catch (error) {
          witness.runs.failed(plan.key);
          throw error;
        }
      },
    };
  }

  #failAsPlanned(failures: number): void {
    const { plan, name } = this.#doing;
    const key = `${plan.key} ${name}`;
    const failed = this.#options.failures.get(key) ?? 0;
    if (failed >= failures) return;
    this.#options.failures.set(key, failed + 1);
    this.#options.witness.runs.failed(plan.key);
    throw new Error(FAILED);
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { scheduler, host } = this.#options;
    const { isDeaf, sleepMs } = this.#doing.plan;
    if (!isDeaf) signal.throwIfAborted();
    await scheduler.turn(host, "work");
    if (sleepMs > 0) await new Promise<void>((resolve) => scheduler.after(host, sleepMs, resolve));
  }
}

/** Where the time was over. */
export const NOBODY = "nobody";

export function stepResult(of: { name: string; execution: number; notes: string[] }): string {
  return `${of.name} in ${of.execution} read ${JSON.stringify(of.notes)}`;
}

export function effectKey({ plan, name }: { plan: Pick<MessagePlan, "key">; name: string }): string {
  return `${plan.key} ${name}`;
}

/** How a round ends by its worker's word. */
export function failedText(key: string, round: number): string {
  return `${key} has failed in round ${round}`;
}

export function runAnswerText(key: string, results: string[]): string {
  return `${answerText(key)}: ${results.join("; ")}`;
}

function planOf(
  plans: ReadonlyMap<string, MessagePlan>,
  message: ReceivedMessage,
): MessagePlan & { run: RunPlan | null } {
  const plan = plans.get(keyOf(message.content));
  if (!plan || contentOf(plan) !== message.content)
    throw new WorkerError(`no plan for "${message.content}"`, { retry: "never" });
  return plan;
}
