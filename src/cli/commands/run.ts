/** `robson run`: has the work of every pending task done, each by a message of its own, and waits for all. */
import { isFinal } from "../../core/process-event.ts";
import type { EventRecord } from "../../core/store.ts";
import { createLog } from "../log.ts";
import type { CommandContext } from "../program.ts";
import { EXIT } from "../report-error.ts";
import { sendMessages } from "../send-message.ts";
import { tellQuestion, tellRetry } from "../tell-next.ts";
import { withStore } from "../with-store.ts";

export interface RunOptions {
  /** Seconds. */
  timeout: number;
  /** How many tasks are worked on at once. */
  parallel: number;
  limit: number;
}

/** Exit code 1 when one of them failed, or waits for an answer; the others are done all the same. */
export async function run(context: CommandContext, options: RunOptions): Promise<number> {
  const { io, config, isJson } = context;
  const log = createLog({ io, config, isJson, atLeast: "warn" });
  const interrupted = io.catchSignals();
  const failed = new Set<number>();
  const onEvent = (event: EventRecord) => {
    const { conversationId, kind, content } = event;
    if (kind === "failed") failed.add(conversationId);
    if (isJson)
      io.out(
        JSON.stringify({ conversationId, eventId: event.id, kind, content, createdAt: event.createdAt }),
      );
    else if (isFinal(kind)) io.out(content);
    else io.err(io.style("dim", content));
  };
  try {
    return await withStore(config, async (store) => {
      const tasks = await store.tasks.list({ status: "pending", limit: options.limit });
      if (tasks.length === 0) {
        if (!isJson) io.err("There are no pending tasks");
        return EXIT.ok;
      }
      const texts = tasks.map(({ key }) => `/run-task ${key}`);
      const { parallel, timeout } = options;
      const shared = { store, config, log, interrupted, onEvent };
      const sent = await sendMessages({
        ...shared,
        texts,
        parallel,
        isWaiting: true,
        timeoutMs: timeout * 1000,
      });
      for (const { conversationId, status } of sent) if (status === "dead") failed.add(conversationId);
      const asking = sent.filter(({ status }) => status === "asking");
      for (const { conversationId } of asking) await tellQuestion(conversationId, { store, io, isJson });
      for (const conversationId of failed) await tellRetry(conversationId, { store, io, isJson });
      const well = tasks.length - failed.size - asking.length;
      const waits =
        asking.length === 0
          ? ""
          : `, ${asking.length} ${asking.length === 1 ? "waits" : "wait"} for an answer`;
      if (!isJson) io.err(`${well} of ${tasks.length} tasks went well${waits}`);
      return well < tasks.length ? EXIT.failed : EXIT.ok;
    });
  } catch (error) {
    if (!interrupted.aborted) throw error;
    io.err("Interrupted; the messages are kept, and the next `robson agent` goes on with them");
    return EXIT.interrupted;
  } finally {
    log.close();
  }
}
