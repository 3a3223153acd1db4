/** The dead letter that a person means by its id. */
import { RobsonError } from "../../core/errors.ts";
import type { ListedDeadLetter, OperatorRecords } from "../../core/operator-records.ts";
import { letterId, parseLetterId } from "./letter-id.ts";

/** How many deliveries of one event are looked through. */
const MAX_OF_EVENT = 10_000;
/** How many are named where an id means several. */
const MAX_NAMED = 5;

/** `USAGE_INVALID` for what is no id or means several, `NOT_FOUND` where no dead letter has it. */
export async function findLetter(records: OperatorRecords, text: string): Promise<ListedDeadLetter> {
  const shown = text.slice(0, 100).toWellFormed();
  const id = parseLetterId(text);
  if (!id) {
    throw new RobsonError("USAGE_INVALID", `Cannot use "${shown}": it is no id of a dead letter`, {
      hint: "They look like message-12 and delivery-34-2b1f9c03; `robson dead-letters list` shows them",
    });
  }
  const filter = id.kind === "message" ? { conversationId: id.conversationId } : { eventId: id.eventId };
  const start = id.kind === "delivery" ? id.deliveryIdStart : "";
  const found = (await records.deadLetters({ ...filter, limit: MAX_OF_EVENT })).filter(
    ({ deliveryId = "" }) => deliveryId.startsWith(start),
  );
  const [letter] = found;
  if (!letter) {
    throw new RobsonError("NOT_FOUND", `Cannot find the dead letter ${shown}: there is none of that id now`, {
      hint: `It may have been retried or discarded; \`robson why ${shown}\` tells what became of it`,
    });
  }
  if (found.length > 1) {
    const names = found.slice(0, MAX_NAMED).map(letterId).join(", ");
    throw new RobsonError("USAGE_INVALID", `Cannot use ${shown}: it means ${found.length} dead letters`, {
      hint: `Write more of the id: ${names}${found.length > MAX_NAMED ? ", …" : ""}`,
    });
  }
  return letter;
}
