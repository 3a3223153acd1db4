/** What to type instead of a command line that the program does not take. */
import type { Command, CommanderError } from "commander";

/** Of an error that commander has thrown, for which it may have a suggestion of its own. */
export type UsageHint = (error: CommanderError, suggestion: string) => string;

export function usageHint(program: Command, argv: string[]): UsageHint {
  return (error, suggestion) => {
    const unknown = /^error: unknown command '(.+?)'/.exec(error.message)?.[1];
    const elsewhere = unknown === undefined ? [] : commandsCalled(unknown, program);
    if (elsewhere.length > 0) return `Did you mean ${elsewhere.map((line) => `\`${line}\``).join(" or ")}?`;
    if (suggestion !== "") return suggestion;
    const command = commandOf(program, argv);
    const help = `\`${command} --help\` lists what it takes`;
    if (unknown === undefined || command !== program.name()) return help;
    return `${help}; what is said in a chat is sent by \`robson send\`, as in: robson send /${unknown}`;
  };
}

/** The chat has no groups: /logs is `robson runs logs` here. */
function commandsCalled(name: string, program: Command): string[] {
  return program.commands
    .filter((group) => group.commands.some((command) => command.name() === name))
    .map((group) => `${program.name()} ${group.name()} ${name}`);
}

/** As far as the words name commands; the value of an option is taken for one at worst in a hint. */
function commandOf(program: Command, argv: string[]): string {
  const names = [program.name()];
  let command = program;
  for (const word of argv) {
    const next = command.commands.find((known) => known.name() === word);
    if (next) names.push(next.name());
    command = next ?? command;
  }
  return names.join(" ");
}
