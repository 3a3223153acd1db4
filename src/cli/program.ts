/**
 * The commands of `robson` and their options; what each does stands in commands/, loaded only when it is asked
 * for, so that `robson --help` waits for none of them. Every error ends in report-error.ts.
 */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Config } from "../config/load-config.ts";
import type { CliIo } from "./io.ts";
import { EXIT, reportError } from "./report-error.ts";

/** What every command gets. */
export interface CommandContext {
  io: CliIo;
  config: Config;
  isJson: boolean;
}

/** Resolves with the exit code; nothing means that all went well. */
type Run = (context: CommandContext, ...args: never[]) => Promise<number | undefined>;

/** Runs one command line to its end and returns the exit code. Never rejects. */
export async function runCli(argv: string[], io: CliIo): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = createProgram(io, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    return reportError(error, { io, isJson: argv.includes("--json") });
  }
}

function createProgram(io: CliIo, setExitCode: (code: number) => void): Command {
  const program = new Command("robson")
    .description(
      "Takes work from where a team talks, has a coding agent do it, and brings back a pull request",
    )
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("-c, --config <file>", "read this file (default: robson.toml in this folder, if there is one)")
    .option("--db <location>", "use this database: a file, or a postgres:// URL")
    .option("--json", "print data as JSON on stdout, and errors as JSON on stderr")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 the work failed, 2 wrong usage or configuration, 3 database trouble, 130 interrupted",
    )
    .exitOverride()
    // A usage error is told by report-error.ts; what commander writes to stderr besides is the help.
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
      outputError: () => undefined,
    });

  const run =
    (load: () => Promise<Run>) =>
    async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const context = await createContext(io, command.optsWithGlobals());
      const args = given.slice(0, -1) as never[];
      setExitCode((await (await load())(context, ...args)) ?? EXIT.ok);
    };
  addLoopCommands(program, run);
  addTaskCommands(program, run);
  return program;
}

type Runner = (load: () => Promise<Run>) => (...given: unknown[]) => Promise<void>;

function addLoopCommands(program: Command, run: Runner): void {
  program
    .command("agent")
    .description("run the loop with the webhook gateway and its HTTP server, until SIGINT or SIGTERM")
    .action(run(async () => (await import("./commands/agent.ts")).agent));

  program
    .command("send")
    .description("send a message through the loop and print the answers")
    .argument("<text...>", "the message, as in: /echo hello")
    .option("--wait", "wait for the answers when another process runs the loop")
    .addOption(timeoutOption(600))
    .action(run(async () => (await import("./commands/send.ts")).send));

  program
    .command("demo")
    .description("show the whole way, from a ticket to a pull request, in a folder of its own")
    .option("--dir <folder>", "work in this folder (default: a temporary one, which is kept)")
    .action(run(async () => (await import("./commands/demo.ts")).demo));

  program
    .command("migrate")
    .description("create the tables of the database, or bring them up to date")
    .action(run(async () => (await import("./commands/migrate.ts")).migrate));
}

function addTaskCommands(program: Command, run: Runner): void {
  const task = program.command("task").description("the tasks that Robson keeps");

  task
    .command("create")
    .description("store a task")
    .requiredOption("--key <key>", "its key, as in PROJ-123")
    .requiredOption("--summary <text>", "what is to be done, in one line")
    .option("--description <text>", "what is to be done, in full")
    .option("--assignee <name>", "who has asked for it or watches over it")
    .option("--repo-url <url>", "a repository that it touches (may be repeated)", collect, [])
    .action(run(async () => (await import("./commands/task-create.ts")).taskCreate));

  task
    .command("list")
    .description("list the tasks, the oldest first")
    .option("--status <status>", "only those: pending, in_progress, done, failed or unfinished")
    .option("--limit <count>", "at most so many", positive, 1000)
    .action(run(async () => (await import("./commands/task-list.ts")).taskList));

  task
    .command("show")
    .description("show one task with its repositories and comments")
    .argument("<key>", "its key, as in PROJ-123")
    .action(run(async () => (await import("./commands/task-show.ts")).taskShow));

  program
    .command("run-task")
    .description("have the work of a task done, and wait for its end")
    .argument("<key>", "its key, as in PROJ-123")
    .addOption(timeoutOption(3660))
    .action(run(async () => (await import("./commands/run-task.ts")).runTask));
}

async function createContext(io: CliIo, options: Record<string, unknown>): Promise<CommandContext> {
  const { loadConfig } = await import("../config/load-config.ts");
  const {
    config: configFile,
    db: database,
    json,
  } = options as { config?: string; db?: string; json?: boolean };
  return {
    io,
    isJson: json === true,
    config: loadConfig({ cwd: io.cwd, env: io.env, configFile, database }),
  };
}

function timeoutOption(defaultSeconds: number): Option {
  return new Option("--timeout <seconds>", "wait no longer than this")
    .default(defaultSeconds)
    .argParser(positive);
}

const MAX_COUNT = 1_000_000;

function positive(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_COUNT) return count;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_COUNT}.`);
}

function collect(value: string, former: string[]): string[] {
  return [...former, value];
}

/** Of the package that this file belongs to, whether it runs from src/ or from dist/. */
function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
