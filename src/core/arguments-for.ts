/** What a worker gets as `args`: typed where it has a schema, else the `key=value` pairs of the message. */
import { parseArguments } from "./arguments/parse-arguments.ts";
import type { StandardSchema } from "./arguments/standard-schema.ts";
import { wrongArgumentsText } from "./help.ts";
import { type KeyValues, parseKv } from "./parse-kv.ts";
import type { Worker } from "./worker.ts";

/** Thrown for arguments that the worker's schema does not take; the text is the answer. */
export class WrongArguments extends Error {}

/** Rejects with `WrongArguments`. At once where there is no schema to ask. */
export function argumentsFor(
  worker: Worker,
  { content, text }: { content: string; text: string },
): KeyValues | Promise<unknown> {
  return worker.args ? typedArguments(worker, { schema: worker.args, text }) : parseKv(content);
}

async function typedArguments(
  worker: Worker,
  { schema, text }: { schema: StandardSchema; text: string },
): Promise<unknown> {
  const parsed = await parseArguments(text, schema);
  if (parsed.ok) return parsed.value;
  throw new WrongArguments(wrongArgumentsText(worker, parsed.problems));
}
