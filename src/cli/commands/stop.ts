/** `robson stop`: ends a message that is open, whichever process has it; kept, where none has it now. */
import { RobsonError } from "../../core/errors.ts";
import { findMessages } from "../../plugins/operator/facts.ts";
import { letterId } from "../../plugins/operator/letter-id.ts";
import type { CommandContext } from "../program.ts";
import { userName } from "../send-message.ts";
import { withStore } from "../with-store.ts";

export async function stop({ io, config, isJson }: CommandContext, text: string): Promise<undefined> {
  await withStore(config, async (store) => {
    const ids = await findMessages(store.operator, { text });
    const [conversationId] = ids;
    if (conversationId === undefined || ids.length > 1) throw notOne(text, ids);
    const id = letterId({ conversationId });
    if (!(await store.requestStop(conversationId, userName() || "someone"))) {
      throw new RobsonError("NOT_FOUND", `Cannot stop ${id}: it is not open`, {
        hint: `\`robson why ${id}\` tells what became of it`,
      });
    }
    const isRun = (await store.currentOwners()).length > 0;
    if (isJson) return io.out(JSON.stringify({ conversationId, isStopping: true }));
    io.out(`${id} is being stopped`);
    if (!isRun) io.err("No process runs the loop now; the next one ends it, and does not begin it");
  });
}

function notOne(text: string, ids: number[]): RobsonError {
  const named = ids.map((conversationId) => letterId({ conversationId })).join(", ");
  return new RobsonError("USAGE_INVALID", `Cannot stop "${text}": it means ${ids.length} messages`, {
    hint: `Name one of them: ${named}`,
  });
}
