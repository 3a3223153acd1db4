/** Who may do what concerns other people's threads. */
import type { Asker } from "../../core/worker.ts";
import type { OperatorOptions } from "./index.ts";

type Access = Pick<OperatorOptions, "operators" | "localGateways">;

/** Whether the asker sits at the machine, or is one of `[operators] users`. */
export function isOperator({ gateway, userId }: Asker, { operators, localGateways }: Access): boolean {
  if (gateway === undefined) return false;
  if (localGateways.includes(gateway)) return true;
  return userId !== "" && (operators.includes(userId) || operators.includes(`${gateway}:${userId}`));
}

/** The answer to someone who is not one of them. */
export function operatorsOnly(what: string): string {
  return `${what} is for operators only: whoever runs me can name you in \`[operators]\` of robson.toml.`;
}

/** Whether a message belongs to the thread in which someone asks. */
export function isSameThread(
  message: { gateway: string | null; channelId: string; threadTs: string },
  asker: Asker,
): boolean {
  return (
    message.gateway === (asker.gateway ?? null) &&
    message.channelId === asker.channelId &&
    message.threadTs === (asker.threadTs ?? "")
  );
}
