/** A stored message as workers and gateways see it. */
import type { ReceivedMessage } from "./message-event.ts";
import type { StoredMessage } from "./store.ts";

export function toReceived(message: StoredMessage): ReceivedMessage {
  return {
    kind: "received",
    id: message.id,
    content: message.content,
    channelId: message.channelId,
    userId: message.userId,
    ...(message.threadTs === "" ? {} : { threadTs: message.threadTs }),
    conversationId: message.conversationId,
    ...(message.gateway === null ? {} : { gateway: message.gateway }),
    isAddressed: message.isAddressed,
    createdAt: message.createdAt,
  };
}
