/**
 * What to type next on this command line, where the run that a command waited for has not ended well: the answer that it
 * waits for, or how to look at it and have it go on. What the run itself says names the commands of a chat.
 */
import { openQuestion } from "../core/run-answer.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import type { CliIo } from "./io.ts";

interface Telling {
  store: OpenedStore;
  io: CliIo;
  isJson: boolean;
}

/** The question itself was printed as the run's last event. */
export async function tellQuestion(conversationId: number, { store, io, isJson }: Telling): Promise<void> {
  const run = await store.runs.run(conversationId);
  const question = run && openQuestion(run);
  // It was answered meanwhile.
  if (!question) return;
  const { name, text, choices, dueAt } = question;
  if (isJson) return io.out(JSON.stringify({ conversationId, question: name, text, choices }));
  const answers = choices.length === 0 ? "<text>" : choices.join(" | ");
  const next = `robson runs answer ${conversationId} ${answers}`;
  const howLong = dueAt === null ? ", for as long as it takes" : "";
  io.err(`Run ${conversationId} waits for this answer${howLong}: \`${next}\``);
  if ((await store.currentOwners()).length === 0) io.err("`robson agent` then goes on with it");
}

/** Nothing of a message that has started no run, or of a run that was refused before it did anything. */
export async function tellRetry(conversationId: number, { store, io, isJson }: Telling): Promise<void> {
  const run = isJson ? undefined : await store.runs.run(conversationId);
  if (run === undefined || run.endedAt === null || run.status === "done" || run.steps.length === 0) return;
  io.err(
    `On this command line: \`robson runs logs ${conversationId}\` and \`robson runs retry ${conversationId}\``,
  );
}
