/**
 * What completion knows of the workers: their commands with the names of their arguments, from the schema where there
 * is one, else as their examples show them.
 */
import { type Argument, argumentShape } from "../../core/arguments/argument-shape.ts";
import { usageOf } from "../../core/arguments/usage.ts";
import { type Asker, isShownTo, type Worker } from "../../core/worker.ts";
import type { CommandHelp } from "../../gateways/tui/completion.ts";

/** `/help` and the command of each worker that has one and may be used by whoever sits at the terminal. */
export function commandsOf(workers: readonly Worker[], asker: Asker): CommandHelp[] {
  const help: CommandHelp = {
    command: "/help",
    usage: "/help",
    description: "Lists what Robson understands",
    argumentNames: [],
  };
  return [
    help,
    ...workers.filter((worker) => isShownTo(worker, asker)).flatMap((worker) => commandOf(worker) ?? []),
  ];
}

function commandOf({ command, args, example, description }: Worker): CommandHelp | undefined {
  if (command === undefined) return undefined;
  const shape = args === undefined ? undefined : argumentShape(args);
  if (args === undefined || shape === undefined || shape.isOpaque)
    return { command, usage: example, description, argumentNames: argumentNamesIn(example) };
  return {
    command,
    usage: usageOf(command, args),
    description,
    // What takes the rest of the line is written as it is.
    argumentNames: shape.arguments
      .filter(({ isRest }) => !isRest)
      .map(({ key, isSwitch }) => (isSwitch ? `--${key}` : key)),
    choices: Object.fromEntries(shape.arguments.map((argument) => [argument.key, choicesOf(argument)])),
  };
}

/** What can be typed as one word. */
function choicesOf({ kind, itemKind, isSwitch }: Argument): string[] {
  if (isSwitch) return [];
  const choices = (itemKind?.(0) ?? kind).flatMap((variant) => variant.choices ?? []);
  return choices
    .filter((choice) => choice !== null)
    .map(String)
    .filter((choice) => /^[^\s"'=]+$/u.test(choice));
}

function argumentNamesIn(example: string): string[] {
  return [
    ...new Set(Array.from(example.matchAll(/(?<=\s)(\p{L}[\p{L}\p{N}_-]*)=/gu), ([, name = ""]) => name)),
  ];
}
