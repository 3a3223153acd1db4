/** `/answer`: what a run waits for, from whoever asked for it or an operator. */
import * as z from "zod";
import type { ReceivedMessage } from "../../core/message-event.ts";
import { choicesText, chosen, noQuestion, openQuestion } from "../../core/run-answer.ts";
import type { RunDetails } from "../../core/run-store.ts";
import { defineWorker, type Worker } from "../../core/worker.ts";
import type { OperatorOptions } from "./index.ts";
import { runToChange } from "./run-access.ts";

export function answerWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "answer",
    description: "Answers the question that a run waits with",
    example: "/answer 12 yes",
    command: "/answer",
    args: z.object({
      run: z.string().describe("Its number, as the question shows it"),
      text: z.string().describe("The answer").meta({ "x-rest": true }),
    }),
    isControl: true,
    async handle(message, { run: named, text }, { emit, log, attempt }) {
      const found = await runToChange(options, { text: named, asker: message, what: "Answering" });
      if ("refusal" in found) return emit("failed", found.refusal);
      const { run } = found;
      const former = attempt > 1 && answeredBefore(run, { message, text });
      if (former) return emit("completed", answeredText(run, former));
      const question = openQuestion(run);
      if (!question)
        return emit("failed", `${noQuestion(run).message}. \`/logs ${run.conversationId}\` shows it.`);
      const value = chosen(question, text);
      if (value === undefined) return emit("failed", choicesText(run, question));
      const by = message.userId || "someone";
      const answer = { name: question.name, value, by, at: options.clock.now() };
      if (!(await options.store.runs.answer(run.conversationId, answer)))
        return emit("failed", `Someone else has answered run ${run.conversationId} meanwhile.`);
      log.info({ run: run.conversationId, question: question.name, by }, "run answered");
      return emit("completed", answeredText(run, value));
    },
  });
}

/** By an attempt at this message that was interrupted: it must not answer the next question too. */
function answeredBefore(
  { decisions }: RunDetails,
  { message, text }: { message: ReceivedMessage; text: string },
): string | undefined {
  const own = decisions.find(
    ({ answer, answeredBy, answeredAt, choices }) =>
      answeredBy === (message.userId || "someone") &&
      (answeredAt ?? 0) >= message.createdAt &&
      answer === JSON.stringify(chosen({ choices }, text)),
  );
  return own && String(JSON.parse(own.answer ?? '""'));
}

function answeredText({ conversationId }: RunDetails, value: string): string {
  return `Run ${conversationId} has your answer, \`${value}\`, and goes on.`;
}
