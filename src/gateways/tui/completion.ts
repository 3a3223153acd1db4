/**
 * Completion of commands, of the names of their arguments and of the values that these may have, from what is typed before the cursor. Pure: which
 * candidates there are, and which part of the text each would replace.
 */

/** What is known of a command. */
export interface CommandHelp {
  /** One word or more from a slash on, as `/task create`. */
  command: string;
  /** How it is asked for: `/task create key=… summary=…`. */
  usage: string;
  description: string;
  /** Completed to `name=`; a switch, as `--dry-run`, to itself. */
  argumentNames: readonly string[];
  /** By the argument's name: what it may be, where that is a choice. */
  choices?: Readonly<Record<string, readonly string[]>>;
}

export interface Candidate {
  /** What takes the place of the text from `from` to the cursor. */
  insert: string;
  /** What the menu shows. */
  label: string;
  description: string;
}

export interface Completion {
  from: number;
  candidates: readonly Candidate[];
}

/** The candidates at the cursor; none in the middle of a sentence. */
export function completionsAt(
  { text, cursor }: { text: string; cursor: number },
  commands: readonly CommandHelp[],
): Completion {
  const before = text.slice(0, cursor);
  const from = before.length - before.trimStart().length;
  const typed = before.slice(from);
  if (!typed.startsWith("/") || typed.includes("\n")) return { from, candidates: [] };
  const byCommand = commands
    .filter(({ command }) => startsWith(command, typed) && command.length > typed.length)
    .map(({ command, description }) => ({ insert: `${command} `, label: command, description }));
  return byCommand.length > 0 ? { from, candidates: byCommand } : argumentsAt({ before, typed }, commands);
}

/** The longest beginning that all candidates share. */
export function sharedInsert(candidates: readonly Candidate[]): string {
  const [first = "", ...others] = candidates.map(({ insert }) => insert);
  let length = first.length;
  for (const other of others) while (!startsWith(other, first.slice(0, length))) length -= 1;
  return first.slice(0, length);
}

function argumentsAt(
  { before, typed }: { before: string; typed: string },
  commands: readonly CommandHelp[],
): Completion {
  const word = /\S*$/u.exec(before)?.[0] ?? "";
  const from = before.length - word.length;
  // The longest command wins, as it does in the loop: "/task create" before "/task".
  const known = commands
    .filter(({ command }) => startsWith(typed, `${command} `))
    .sort((a, b) => b.command.length - a.command.length)[0];
  if (known === undefined) return { from, candidates: [] };
  const { argumentNames, choices = {}, usage: description } = known;
  const [, name, value = ""] = /^(?:--)?([^=]+)=(.*)$/u.exec(word) ?? [];
  if (name !== undefined) {
    const values = (choices[name.toLowerCase()] ?? []).filter((choice) => startsWith(choice, value));
    const start = word.slice(0, word.length - value.length);
    return { from, candidates: values.map((choice) => candidateOf(start + choice, description)) };
  }
  const open = argumentNames.filter((each) => !isGiven(each, typed));
  const names = open
    .filter((each) => startsWith(each, word))
    .map((each) =>
      each.startsWith("--")
        ? candidateOf(each, description)
        : { insert: `${each}=`, label: `${each}=`, description },
    );
  // A value alone, once it is begun: all values of all arguments would be a long menu.
  const values = word === "" ? [] : open.flatMap((each) => choices[each] ?? []);
  const begun = values.filter((choice) => startsWith(choice, word));
  return { from, candidates: [...names, ...begun.map((choice) => candidateOf(choice, description))] };
}

function candidateOf(label: string, description: string): Candidate {
  return { insert: `${label} `, label, description };
}

function isGiven(name: string, typed: string): boolean {
  return typed
    .toLowerCase()
    .split(/\s+/u)
    .some((word) => word === name.toLowerCase() || word.startsWith(`${name.toLowerCase()}=`));
}

function startsWith(text: string, beginning: string): boolean {
  return text.toLowerCase().startsWith(beginning.toLowerCase());
}
