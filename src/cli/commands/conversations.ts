/** `robson conversations`: the latest messages, and one with all that came of it. */
import { systemClock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import type { MessageStatus } from "../../core/store.ts";
import { findMessages } from "../../plugins/operator/facts.ts";
import { absolute, quoted, relative } from "../../plugins/operator/words.ts";
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";

export interface ConversationListOptions {
  gateway?: string;
  status?: MessageStatus;
  limit: number;
}

export async function listConversations(
  { io, config, isJson }: CommandContext,
  options: ConversationListOptions,
): Promise<undefined> {
  const messages = await withStore(config, (store) => store.operator.messages(options));
  const now = systemClock.now();
  const width = Math.max(0, ...messages.map(({ conversationId }) => String(conversationId).length));
  for (const message of messages) {
    const { conversationId, status, gateway, content, createdAt } = message;
    const about = `${status.padEnd(7)}  ${gateway ?? "(none)"}, ${relative(createdAt, now)}`;
    io.out(
      isJson
        ? JSON.stringify(message)
        : `${String(conversationId).padStart(width)}  ${about}  ${quoted(content)}`,
    );
  }
  if (messages.length === 0 && !isJson) io.err("There are no such messages");
}

export async function showConversation(
  { io, config, isJson }: CommandContext,
  text: string,
): Promise<undefined> {
  await withStore(config, async (store) => {
    for (const id of await findMessages(store.operator, { text })) {
      const facts = await store.operator.facts(id);
      if (!facts)
        throw new RobsonError("NOT_FOUND", `Cannot find message ${id}`, { hint: "It was deleted meanwhile" });
      const { message, events } = facts;
      if (isJson) {
        io.out(JSON.stringify({ ...message, events }));
        continue;
      }
      io.out(
        `Message ${id} (${message.status}), ${absolute(message.createdAt)}, from ${message.userId || "someone"} in ${message.gateway ?? "no gateway"} ${message.channelId} ${message.threadTs}`.trimEnd(),
      );
      io.out(message.content);
      for (const { kind, content, createdAt } of events) {
        io.out("");
        io.out(`${kind}, ${absolute(createdAt)}`);
        io.out(content);
      }
    }
  });
}
