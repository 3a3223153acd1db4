/**
 * A plain message in the thread of an open run is offered to that run first: as the answer that it waits for, or as a
 * note for its next turn. What a run takes is stored in the one commit that ends the message, so that a crash leaves
 * both or neither.
 */
import { hasCode } from "./errors.ts";
import type { DispatchOutcome, InboxEntry } from "./inbox-entry.ts";
import type { MessageEnd } from "./message-end.ts";
import { toReceived } from "./received.ts";
import { type Routing, withoutMention } from "./routing.ts";
import { choicesText, chosen, isRequester, openQuestion } from "./run-answer.ts";
import type { DecisionRecord, RunChange, RunRecord, RunRecords } from "./run-store.ts";
import type { RunThreads } from "./run-threads.ts";
import type { Asker } from "./worker.ts";

export interface RunOffersOptions {
  routing: Routing;
  runs: Pick<RunRecords, "run" | "runs">;
  runThreads: RunThreads;
  end: MessageEnd;
  clock: { now(): number };
  /** Whether someone may answer for others. */
  isOperator(asker: Asker): boolean;
  /** Runs that were answered are to be taken up. */
  onAnswered(): void;
}

/** How many open runs of one thread are asked. */
const MAX_ASKED = 20;

export class RunOffers {
  readonly #options: RunOffersOptions;

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
    const { runs, runThreads } = this.#options;
    const { gateway, channelId, threadTs } = entry.message;
    const thread = { gateway, channelId, threadTs };
    const open = await runs.runs({ isOpen: true, thread, limit: MAX_ASKED });
    if (open.length === 0) {
      runThreads.clear(thread);
      return undefined;
    }
    return (await this.#asAnswer(entry, open)) ?? (await this.#asNote(entry, open));
  }

  async #asAnswer(entry: InboxEntry, open: RunRecord[]): Promise<DispatchOutcome | undefined> {
    const { runs, end, isOperator, clock } = this.#options;
    const asker = toReceived(entry.message);
    for (const each of open) {
      if (!isRequester(each, asker) && !isOperator(asker)) continue;
      const run = await runs.run(each.conversationId);
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
    const { routing } = this.#options;
    for (const run of open) {
      const worker = routing.workers.find(({ name }) => name === run.worker);
      if (!(run.isDetached && worker?.run?.takesNotes)) continue;
      const outcome = await this.#pass(entry, { run, content: noteText(run) });
      if (outcome) return outcome;
    }
    return undefined;
  }

  /** Undefined where the run has ended, or someone else was quicker. */
  async #pass(
    { message, ...entry }: InboxEntry,
    { run, answers, content }: Pick<Passing, "answers"> & { run: RunRecord; content: string },
  ): Promise<DispatchOutcome | undefined> {
    const { conversationId, userId, createdAt } = message;
    const note = { conversationId, userId, content: withoutMention(message.content), createdAt };
    const passedOn: Passing = answers ? { ...note, answers } : note;
    try {
      const change = { conversationId: run.conversationId, passedOn };
      return await this.#options.end.passedOn({ message, ...entry }, { content, run: change });
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
