/** A stored message as workers and gateways see it. */
import type { ReceivedMessage } from "./message-event.ts";
import type { StoredMessage } from "./store.ts";

export function toReceived(message: StoredMessage): ReceivedMessage {
  const received: ReceivedMessage = {
    kind: "received",
    id: message.id,
    content: message.content,
    channelId: message.channelId,
    userId: message.userId,
    conversationId: message.conversationId,
    isAddressed: message.isAddressed,
    createdAt: message.createdAt,
  };
  if (message.threadTs !== "") received.threadTs = message.threadTs;
  if (message.gateway !== null) received.gateway = message.gateway;
  return received;
}
