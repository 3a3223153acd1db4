/** `/stop`: ends what runs and waits in this thread, or one message; one of another thread only for operators. */
import type { OpenMessage } from "../../core/control.ts";
import { defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator, isSameThread, operatorsOnly } from "./access.ts";
import type { OperatorOptions } from "./index.ts";
import { letterId, parseLetterId } from "./letter-id.ts";

/** How many stopped messages are named. */
const MAX_NAMED = 10;

export function stopWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "stop",
    description: "Ends what runs and waits in this thread, or the one message that is named",
    example: "/stop message-12",
    command: "/stop",
    isControl: true,
    async handle(message, _args, { emit, control, text }) {
      const open = control.openMessages();
      const chosen = text.trim() === "" ? inThread(open) : named(open, text);
      if (typeof chosen === "string") return emit("failed", chosen);
      const foreign = chosen.some((each) => !isSameThread(each, message));
      if (foreign && !isOperator(message, options)) {
        return emit("failed", operatorsOnly("Stopping what was asked in another thread"));
      }
      const stopped = chosen.filter(({ conversationId }) =>
        control.stop(conversationId, message.userId || "someone"),
      );
      if (stopped.length === 0) return emit("completed", "Nothing is open here that could be stopped.");
      return emit("completed", `Stopped ${names(stopped)}.`);

      function inThread(messages: OpenMessage[]): OpenMessage[] {
        return messages.filter((each) => isSameThread(each, message));
      }
    },
  });
}

/** The message that is meant, or why there is none. */
function named(open: OpenMessage[], text: string): OpenMessage[] | string {
  const id = /^\d{1,15}$/.test(text.trim()) ? `message-${Number(text)}` : text;
  const letter = parseLetterId(id);
  if (letter?.kind !== "message")
    return "Name a message as `/stop message-12`, or nothing to stop what is open in this thread.";
  const found = open.filter(({ conversationId }) => conversationId === letter.conversationId);
  return found.length > 0
    ? found
    : `Message ${letter.conversationId} is not open. \`/why ${id}\` tells what became of it.`;
}

function names(messages: OpenMessage[]): string {
  const shown = messages.slice(0, MAX_NAMED).map(letterId).join(", ");
  return messages.length > MAX_NAMED ? `${shown} and ${messages.length - MAX_NAMED} more` : shown;
}
