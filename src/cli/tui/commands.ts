/** What completion knows of the workers: their commands, and the argument names that their examples show. */
import type { Worker } from "../../core/worker.ts";
import type { CommandHelp } from "../../gateways/tui/completion.ts";

/** `/help` and the command of each worker that has one. */
export function commandsOf(workers: readonly Worker[]): CommandHelp[] {
  const help: CommandHelp = {
    command: "/help",
    usage: "/help",
    description: "Lists what Robson understands",
    argumentNames: [],
  };
  const others = workers.flatMap(({ command, example, description }) =>
    command === undefined
      ? []
      : [{ command, usage: example, description, argumentNames: argumentNamesIn(example) }],
  );
  return [help, ...others];
}

function argumentNamesIn(example: string): string[] {
  return [
    ...new Set(Array.from(example.matchAll(/(?<=\s)(\p{L}[\p{L}\p{N}_-]*)=/gu), ([, name = ""]) => name)),
  ];
}
