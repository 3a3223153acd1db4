/** `/why`: what happened to a message and what is next; those of other channels only for operators. */
import * as z from "zod";
import type { LoopControl } from "../../core/control.ts";
import { hasCode } from "../../core/errors.ts";
import { defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator } from "./access.ts";
import { explain } from "./explain.ts";
import { type Facts, findMessages, removedText, routeFacts } from "./facts.ts";
import type { OperatorOptions } from "./index.ts";
import { fenced } from "./words.ts";

/** How many messages one answer explains: those of a task. */
const MAX_EXPLAINED = 3;

export function whyWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "why",
    description: "Tells what happened to a message, and what is next",
    example: "/why message-12",
    command: "/why",
    args: z.object({ id: z.string().describe("A message, its external id or a task, as message-12") }),
    isControl: true,
    async handle(message, { id: asked }, { emit, control }) {
      const found = await find(options, asked.trim());
      const all = await Promise.all(found.map((id) => factsOf(options, { id, control })));
      // Whoever asks in a channel can read what was asked there.
      const seen = all.filter(
        (facts): facts is Facts =>
          facts !== undefined &&
          (isOperator(message, options) ||
            (facts.message.gateway === (message.gateway ?? null) &&
              facts.message.channelId === message.channelId)),
      );
      if (seen.length === 0) {
        const removed = await removedText(options.records, asked.trim());
        const none = "There is no such message in this channel";
        await emit("failed", `${removed ?? none}. \`/status\` shows what is open here.`);
        return;
      }
      const explained = seen.slice(-MAX_EXPLAINED).map((facts) => explain(facts, options.clock.now()));
      await emit("completed", fenced(explained.map((lines) => lines.join("\n")).join("\n\n")));
    },
  });
}

async function find({ records }: OperatorOptions, text: string): Promise<number[]> {
  try {
    return await findMessages(records, { text });
  } catch (error) {
    if (hasCode(error, "NOT_FOUND")) return [];
    throw error;
  }
}

async function factsOf(
  { records, workers, owner, limits, store }: OperatorOptions,
  { id, control }: { id: number; control: LoopControl },
): Promise<Facts | undefined> {
  const facts = await records.facts(id);
  if (!facts) return undefined;
  const names = control.health().gateways.map(({ name }) => name);
  return {
    ...facts,
    owners: await store.currentOwners(),
    answering: owner,
    limits,
    gateways: { names, isConfiguration: false },
    route: routeFacts(facts.message, workers()),
    live: control.openMessages().find(({ conversationId }) => conversationId === id),
  };
}
