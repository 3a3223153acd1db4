/**
 * A plain message in the thread of an open run is offered to that run first: as the answer that it waits for, or as a
 * note for its next turn. What a run takes is stored in the one commit that ends the message, so that a crash leaves
 * both or neither.
 */
import { hasCode } from "./errors.ts";
import type { DispatchOutcome, InboxEntry } from "./inbox-entry.ts";
import type { MessageEnd } from "./message-end.ts";
import type { EventToStore } from "./outbox-entry.ts";
import { toReceived } from "./received.ts";
import { type Routing, withoutMention } from "./routing.ts";
import { choicesText, chosen, isRequester, openQuestion } from "./run-answer.ts";
import type { DecisionRecord, RunChange, RunNote, RunRecord, RunRecords } from "./run-store.ts";
import type { RunThreads } from "./run-threads.ts";
import type { StoredMessage } from "./store.ts";
import { isStoreTrouble } from "./store-health.ts";
import { preview } from "./text.ts";
import type { Asker } from "./worker.ts";

export interface RunOffersOptions {
  routing: Routing;
  runs: Pick<RunRecords, "run" | "runs">;
  runThreads: RunThreads;
  end: MessageEnd;
  clock: { now(): number };
  /** Whether someone may answer for others. */
  isOperator(asker: Asker): boolean;
  /** Resolves when to read again, rejects to give up. */
  onReadError(error: unknown, failures: number): Promise<void>;
  /** Runs that were answered are to be taken up. */
  onAnswered(): void;
}

/** How many open runs of one thread are asked. */
const MAX_ASKED = 20;
/** How much of a message that was not read is shown. */
const MAX_SHOWN_NOTE = 100;

export class RunOffers {
  readonly #options: RunOffersOptions;
  /** What is being passed on, each with its run. */
  readonly #underWay = new Map<Promise<unknown>, number>();
  /** The runs whose worker has said its last word. */
  readonly #closed = new Set<number>();

  constructor(options: RunOffersOptions) {
    this.#options = options;
  }

  /** Whether it is worth offering; costs nothing where no run is open. */
  isFor({ message, isControl }: InboxEntry): boolean | Promise<boolean> {
    const mayHave = this.#options.runThreads.mayHave(message);
    // What belongs to a run, or comes from no platform, is no word to another run.
    if (mayHave === false || isControl || message.run || message.gateway === null) return false;
    // Over HTTP strangers to each other share a channel: without a name and without a thread nobody is meant.
    if (message.userId === "" && message.threadTs === "") return false;
    return withoutMention(message.content).startsWith("/") ? false : mayHave;
  }

  /** How the message has ended; undefined where no run takes it. */
  async offer(entry: InboxEntry): Promise<DispatchOutcome | undefined> {
    const { runThreads } = this.#options;
    const { gateway, channelId, threadTs } = entry.message;
    const thread = { gateway, channelId, threadTs };
    const { addCount } = runThreads;
    const open = await this.#read((runs) => runs.runs({ isOpen: true, thread, limit: MAX_ASKED }));
    if (open.length === 0) {
      runThreads.clear(thread, addCount);
      return undefined;
    }
    return (await this.#asAnswer(entry, open)) ?? (await this.#asNote(entry, open));
  }

  /** What a run's worker says last, and what of its thread it has not read; from now on nothing is passed on to it. */
  async lastWords({ run, conversationId }: StoredMessage, events: EventToStore[]): Promise<EventToStore[]> {
    // One that has failed reads it when a person has it go on.
    const isDone = run?.isDetached === true && !events.some(({ kind }) => kind === "failed");
    if (!isDone || !this.#takesNotes(run.worker)) return events;
    this.#closed.add(conversationId);
    const underWay = [...this.#underWay].flatMap(([passing, to]) => (to === conversationId ? [passing] : []));
    await Promise.allSettled(underWay);
    const { notes = [] } = (await this.#read((runs) => runs.run(conversationId))) ?? {};
    const unread = notes.filter(({ takenAt }) => takenAt === null);
    if (unread.length === 0) return events;
    return events.map((event) => ({ ...event, content: `${event.content}\n\n${unreadText(unread)}` }));
  }

  /** The run has ended, or goes on. */
  forget(run: number): void {
    this.#closed.delete(run);
  }

  async #asAnswer(entry: InboxEntry, open: RunRecord[]): Promise<DispatchOutcome | undefined> {
    const { end, isOperator, clock } = this.#options;
    const asker = toReceived(entry.message);
    for (const each of open) {
      if (!isRequester(each, asker) && !isOperator(asker)) continue;
      const run = await this.#read((runs) => runs.run(each.conversationId));
      const question = run && openQuestion(run);
      if (!run || !question) continue;
      const value = chosen(question, withoutMention(entry.message.content));
      if (value === undefined)
        return end.answered(entry, { kind: "failed", content: choicesText(run, question) });
      const answers = { name: question.name, value, by: asker.userId || "someone", at: clock.now() };
      const content = answeredText(run, { question, value });
      const outcome = await this.#pass(entry, { run, answers, content });
      if (outcome) this.#options.onAnswered();
      if (outcome) return outcome;
    }
    return undefined;
  }

  async #asNote(entry: InboxEntry, open: RunRecord[]): Promise<DispatchOutcome | undefined> {
    for (const run of open) {
      if (!(run.isDetached && this.#takesNotes(run.worker))) continue;
      const outcome = await this.#pass(entry, { run, content: noteText(run) });
      if (outcome) return outcome;
    }
    return undefined;
  }

  #takesNotes(worker: string): boolean {
    return this.#options.routing.workers.find(({ name }) => name === worker)?.run?.takesNotes === true;
  }

  /** That the database is away is no fault of the message: it waits. */
  async #read<T>(look: (runs: RunOffersOptions["runs"]) => Promise<T>): Promise<T> {
    const { runs, onReadError } = this.#options;
    for (let failures = 1; ; failures += 1) {
      try {
        return await look(runs);
      } catch (error) {
        if (!isStoreTrouble(error)) throw error;
        await onReadError(error, failures);
      }
    }
  }

  /** Undefined where the run has ended, or someone else was quicker. */
  async #pass(
    { message, ...entry }: InboxEntry,
    { run, answers, content }: Pick<Passing, "answers"> & { run: RunRecord; content: string },
  ): Promise<DispatchOutcome | undefined> {
    // It takes nothing any more: the message is one like any other, as if it had come a moment later.
    if (this.#closed.has(run.conversationId)) return undefined;
    const { conversationId, userId, createdAt } = message;
    const note = { conversationId, userId, content: withoutMention(message.content), createdAt };
    const passedOn: Passing = answers ? { ...note, answers } : note;
    try {
      const change = { conversationId: run.conversationId, passedOn };
      const passing = this.#options.end.passedOn({ message, ...entry }, { content, run: change });
      this.#underWay.set(passing, run.conversationId);
      return await passing.finally(() => this.#underWay.delete(passing));
    } catch (error) {
      if (!hasCode(error, "RUN_INVALID")) throw error;
      return undefined;
    }
  }
}

type Passing = NonNullable<RunChange["passedOn"]>;

function answeredText(
  { conversationId }: RunRecord,
  { question, value }: { question: DecisionRecord; value: string },
): string {
  const answer = question.choices.length === 0 ? "" : `, \`${value}\``;
  return `Run ${conversationId} has your answer${answer}, and goes on.`;
}

function noteText({ conversationId, title }: RunRecord): string {
  return `Passed on to run ${conversationId} (${title}): it reads this at its next turn.`;
}

/** Shown as a list: each is known by its beginning. */
function unreadText(notes: RunNote[]): string {
  const which = notes.map(
    ({ content }) => `- ${preview(content.trim().split("\n", 1)[0] ?? "", MAX_SHOWN_NOTE)}`,
  );
  return `Said too late for this run to read; send it again where it still counts:\n${which.join("\n")}`;
}
