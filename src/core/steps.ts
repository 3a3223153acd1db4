/**
 * The steps of one attempt at a run: what is stored already is returned, what is not is done and stored with what it
 * reported. A crash before a step's commit leaves it begun: it is done again, and an effect of it is looked up first.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "./clock.ts";
import type { Limits } from "./limits.ts";
import type { EventToStore } from "./outbox-entry.ts";
import type { Answer, Effect, Json, Question, RunContext, StepContext } from "./run.ts";
import { Suspended } from "./run.ts";
import type {
  DecisionRecord,
  NewDecision,
  OwnWrite,
  RunChange,
  RunDetails,
  StepRecord,
} from "./run-store.ts";
import {
  checkedEvent,
  checkedQuestion,
  checkedWait,
  checkFound,
  checkName,
  checkStepEvent,
  checkWork,
  describedEffect,
  stepInvalid,
  toResult,
} from "./step-checks.ts";
import { toStorable } from "./text.ts";

/** Where a crash test may pull the plug: before and after each commit and each effect. */
export type Probe = (point: string) => Promise<void> | void;

export interface StepsOptions {
  conversationId: number;
  clock: Pick<Clock, "now">;
  limits: Pick<Limits, "maxStepsPerRun" | "maxStepResultBytes">;
  /** How often the run was begun. */
  round: number;
  signal(): AbortSignal;
  /** What is stored of the run; undefined where there is none yet. */
  load(): Promise<RunDetails | undefined>;
  /** Commits a change of the run together with events. */
  store(change: { events: EventToStore[]; run: Omit<RunChange, "conversationId"> }): Promise<void>;
  /** Makes an event of a text, within the limits; `sequence` is set here. */
  toEvent(kind: EventToStore["kind"], content: string): Omit<EventToStore, "sequence">;
  /** Stores an event at once. */
  tell(event: EventToStore): Promise<void>;
  probe?: Probe | undefined;
}

/** How many events one step may emit: each has a place of its own behind its step's. */
const EVENTS_PER_STEP = 2 ** 31;
/** Beyond all that a run emits outside its steps. */
const FIRST_STEP_EVENT = 2 ** 45;
/** The places of the questions, before those of the steps. */
const FIRST_QUESTION = 2 ** 44;
/** How many places each round has for them: one for all that the run has ever waited for. */
const QUESTIONS_PER_ROUND = 2 ** 20;
/** The places of what is told at once, by its instant in milliseconds; beyond those of the steps. */
const FIRST_TOLD = 2 ** 50;

/** What is to be waited for. */
type Wanted = Omit<NewDecision, "name" | "askedAt" | "dueAt"> & { timeoutMs: number | undefined };

/** The step whose work is being done; what waits inside of it must not be taken for its end. */
interface Place {
  outer: Place | undefined;
  isWaiting: boolean;
}

const inStep = new AsyncLocalStorage<Place>();

interface Loaded {
  steps: Map<string, StepRecord>;
  decisions: Map<string, DecisionRecord>;
  nextOrdinal: number;
  /** When it last asked, or waited, for the first time. */
  lastAskedAt: number;
  /** When this attempt began, as it is stored: never before an attempt of another process, whatever the clock there. */
  at: number;
}

export class Steps implements Omit<RunContext, "round"> {
  readonly #options: StepsOptions;
  readonly #names = new Set<string>();
  /** The steps at work, by their names. */
  readonly #underWay = new Map<Promise<unknown>, string>();
  /** Questions, sleeps and waits of which it is not known yet whether they are over. */
  readonly #asking = new Set<Promise<unknown>>();
  /** What the run waits for, once it does. */
  readonly #awaited: NewDecision[] = [];
  /** The notes that a step of this attempt has read: a step beside it does not read them too. */
  readonly #notesRead = new Set<number>();
  #loading: Promise<Loaded> | undefined;
  #lastTold = 0;

  constructor(options: StepsOptions) {
    this.#options = options;
  }

  get isWaiting(): boolean {
    return this.#awaited.length > 0;
  }

  /** What the run waits for, and the questions that the thread has not been asked yet, or not since a person had it go on. */
  async suspension(): Promise<{ decisions: NewDecision[]; events: EventToStore[] }> {
    const { decisions } = await this.#load();
    const { round, conversationId, toEvent } = this.#options;
    // As they are ordered in every attempt from now on.
    const names = [...new Set([...decisions.keys(), ...this.#awaited.map(({ name }) => name)])];
    const first = FIRST_QUESTION + (round - 1) * QUESTIONS_PER_ROUND;
    const events = this.#awaited
      .filter(({ name, kind }) => kind === "question" && (round > 1 || !decisions.has(name)))
      .map((question) => ({
        ...toEvent("progress", questionText(question, conversationId)),
        // A place that is taken already is of this round: it was shown.
        sequence: first + names.indexOf(question.name),
      }));
    return { decisions: this.#awaited, events };
  }

  /** Throws `Suspended` once something is waited for, so that swallowing it cannot complete the run. */
  check(): void {
    if (this.#awaited.length > 0) throw suspended();
  }

  /** Resolves when no step is at work any more: what one has done beside the one that waits is stored. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay.keys());
  }

  /** The steps that are at work. */
  get underWay(): string[] {
    return [...this.#underWay.values()];
  }

  /** Resolves when it is known of everything that was asked whether it is waited for, awaited by its worker or not. */
  async asked(): Promise<void> {
    while (this.#asking.size > 0) await Promise.allSettled(this.#asking);
  }

  step<T>(name: string, work: (step: StepContext) => Promise<T>): Promise<T> {
    return this.#once(name, (loaded) => {
      checkWork(name, work);
      return this.#work(name, { loaded, work });
    });
  }

  effect<T>(name: string, effect: (step: StepContext) => Effect<T>): Promise<T> {
    return this.#once(name, (loaded) => this.#work(name, { loaded, effect }));
  }

  ask(name: string, question: Question): Promise<Answer | undefined> {
    return this.#await(name, {
      wanted() {
        const { text, choices, timeoutMs } = checkedQuestion(name, question);
        return { kind: "question", text, choices, key: null, timeoutMs };
      },
      read: ({ answer, answeredBy }) =>
        answer === null ? undefined : { value: String(JSON.parse(answer)), by: answeredBy ?? "" },
    });
  }

  sleep(name: string, ms: number): Promise<void> {
    return this.#await(name, {
      wanted: () => ({ kind: "sleep", text: "", choices: [], key: null, timeoutMs: checkedWait(name, ms) }),
      read: () => undefined,
    });
  }

  waitFor(name: string, event: { key: string; timeoutMs?: number }): Promise<Json | undefined> {
    return this.#await(name, {
      wanted() {
        const { key, timeoutMs } = checkedEvent(name, event);
        return { kind: "event", text: "", choices: [], key, timeoutMs };
      },
      read: ({ answer }) => (answer === null ? undefined : (JSON.parse(answer) as Json)),
    });
  }

  /** Runs `work` under a name that is used once, and remembers it as long as it is under way. */
  #once<T>(name: string, work: (loaded: Loaded) => Promise<T>): Promise<T> {
    const result = (async () => {
      this.check();
      this.#take(name);
      const loaded = await this.#load();
      this.check();
      return work(loaded);
    })();
    this.#underWay.set(result, name);
    const forget = () => void this.#underWay.delete(result);
    result.then(forget, forget);
    return result;
  }

  async #work<T>(
    name: string,
    how: {
      loaded: Loaded;
      work?: (step: StepContext) => Promise<T>;
      effect?: (step: StepContext) => Effect<T>;
    },
  ): Promise<T> {
    const { loaded } = how;
    const known = loaded.steps.get(name);
    if (known?.result != null) return JSON.parse(known.result) as T;
    const { clock, store, limits, probe } = this.#options;
    const ordinal = known?.ordinal ?? loaded.nextOrdinal++;
    if (ordinal >= limits.maxStepsPerRun) throw tooManySteps(limits.maxStepsPerRun);
    const begun = {
      name,
      ordinal,
      begunAt: known?.begunAt ?? clock.now(),
      attempts: (known?.attempts ?? 0) + 1,
    };
    const record = new StepReport(begun.attempts, {
      ...this.#options,
      notesRead: this.#notesRead,
      tell: (content) => this.#tell(content),
    });
    const effect = how.effect && describedEffect(name, { describe: how.effect, step: record });
    const intended = effect && ({ step: name, key: toStorable(effect.key), outcome: "intended" } as const);
    await probe?.(`${name}: before`);
    await store({
      events: [],
      run: { step: begun, ...(intended && { effect: { ...intended, at: clock.now() } }) },
    });
    await probe?.(`${name}: begun`);
    const place: Place = { outer: inStep.getStore(), isWaiting: false };
    const working = inStep.run(place, async () =>
      effect ? adoptOrMake(name, effect) : { value: await how.work?.(record), outcome: undefined },
    );
    working.catch(record.leaveNotes);
    const { value, outcome } = await working;
    await probe?.(`${name}: done`);
    // What waits beside it is no reason to do it twice.
    if (place.isWaiting) throw suspended();
    this.#options.signal().throwIfAborted();
    const result = toResult(name, { value, maxBytes: limits.maxStepResultBytes });
    const firstSequence = FIRST_STEP_EVENT + ordinal * EVENTS_PER_STEP;
    await store({
      events: record.events.map((event, index) => ({ ...event, sequence: firstSequence + index })),
      run: {
        step: { ...begun, result, endedAt: clock.now() },
        ...(intended && outcome && { effect: { ...intended, outcome, at: clock.now() } }),
        writes: record.writes,
        notesTaken: record.notesTaken,
      },
    });
    await probe?.(`${name}: stored`);
    // As a later attempt gets it.
    return JSON.parse(result) as T;
  }

  /** Whoever does not await it must not end the process when the run waits: `asked` and `check` see to it that it does. */
  #await<T>(
    name: string,
    { wanted, read }: { wanted(): Wanted; read(decision: DecisionRecord): T },
  ): Promise<T> {
    const result = this.#decide(name, wanted).then(read);
    this.#asking.add(result);
    const forget = () => void this.#asking.delete(result);
    result.then(forget, forget);
    return result;
  }

  async #decide(name: string, wanted: () => Wanted): Promise<DecisionRecord> {
    this.#take(name);
    const { timeoutMs, ...decision } = wanted();
    const loaded = await this.#load();
    const { at } = loaded;
    const known = loaded.decisions.get(name);
    // By what is stored alone: what the run was told once it is told again, also by a process whose clock is behind.
    if (known && (known.answeredAt !== null || (known.dueAt !== null && known.dueAt <= at))) return known;
    const now = Math.max(this.#options.clock.now(), at);
    const dueAt = known ? known.dueAt : timeoutMs === undefined ? null : now + timeoutMs;
    // Each has an instant of its own, and they their order.
    if (!known) loaded.lastAskedAt = Math.max(now, loaded.lastAskedAt + 1);
    this.#awaited.push({ ...decision, name, askedAt: known?.askedAt ?? loaded.lastAskedAt, dueAt });
    throw suspended();
  }

  async #tell(content: string): Promise<void> {
    const { clock, tell, toEvent } = this.#options;
    this.#lastTold = Math.max(this.#lastTold + 1, clock.now());
    await tell({ ...toEvent("progress", content), sequence: FIRST_TOLD + this.#lastTold });
  }

  #take(name: string): void {
    checkName(name);
    if (this.#names.has(name)) {
      throw stepInvalid(
        `There are two steps of the name "${name}" in this run`,
        "Give each a name of its own, with its number where it is in a loop",
      );
    }
    this.#names.add(name);
  }

  #load(): Promise<Loaded> {
    this.#loading ??= this.#options.load().then((run) => {
      const steps = new Map(run?.steps.map((step) => [step.name, step]));
      const decisions = new Map(run?.decisions.map((decision) => [decision.name, decision]));
      const nextOrdinal = Math.max(-1, ...[...steps.values()].map(({ ordinal }) => ordinal)) + 1;
      const lastAskedAt = Math.max(0, ...[...decisions.values()].map(({ askedAt }) => askedAt));
      return { steps, decisions, nextOrdinal, lastAskedAt, at: run?.updatedAt ?? 0 };
    });
    return this.#loading;
  }
}

/** Swallowed within a step, it still keeps that from being stored. */
function suspended(): Suspended {
  for (let place = inStep.getStore(); place; place = place.outer) place.isWaiting = true;
  return new Suspended();
}

function questionText({ text, choices }: NewDecision, run: number): string {
  const how = choices.length === 0 ? "your answer" : choices.join(" | ");
  return `${text}\n\nAnswer with \`/answer ${run} ${how}\`, or in a message of this thread`;
}

type ReportOptions = Pick<StepsOptions, "signal" | "toEvent" | "load"> &
  Pick<StepContext, "tell"> & { notesRead: Set<number> };

/** What a step reports and writes, kept until its commit. */
class StepReport implements StepContext {
  readonly events: Omit<EventToStore, "sequence">[] = [];
  readonly writes: OwnWrite[] = [];
  readonly notesTaken: number[] = [];
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly tell: (content: string) => Promise<void>;
  readonly #options: ReportOptions;

  constructor(attempt: number, options: ReportOptions) {
    this.signal = options.signal();
    this.tell = options.tell;
    this.attempt = attempt;
    this.#options = options;
  }

  // As fields: a worker takes them out of the object.
  readonly emit = (kind: "started" | "progress", content: string): void => {
    checkStepEvent(kind);
    this.events.push(this.#options.toEvent(kind, content));
  };

  readonly write = (write: OwnWrite): void => {
    this.writes.push(write);
  };

  readonly notes = async (): Promise<{ userId: string; content: string }[]> => {
    const { load, notesRead } = this.#options;
    const notes = (await load())?.notes ?? [];
    const fresh = notes.filter(
      ({ takenAt, conversationId }) => takenAt === null && !notesRead.has(conversationId),
    );
    for (const { conversationId } of fresh) {
      notesRead.add(conversationId);
      this.notesTaken.push(conversationId);
    }
    return fresh.map(({ userId, content }) => ({ userId, content }));
  };

  readonly leaveNotes = (): void => {
    for (const conversationId of this.notesTaken.splice(0)) this.#options.notesRead.delete(conversationId);
  };
}

async function adoptOrMake<T>(
  name: string,
  effect: Effect<T>,
): Promise<{ value: T; outcome: "found" | "made" }> {
  const found = await effect.find();
  checkFound(name, found);
  if (found !== undefined) return { value: found, outcome: "found" };
  return { value: await effect.make(), outcome: "made" };
}

function tooManySteps(limit: number): Error {
  return stepInvalid(
    `A run has no more than ${limit} steps`,
    "The limit is maxStepsPerRun; raise limits.max_steps_per_run in robson.toml, or do more in one step",
  );
}
