/** Where `robson` starts: the arguments in, the exit code out. */
import { processIo } from "./io.ts";
import { runCli } from "./program.ts";

void runCli(process.argv.slice(2), processIo()).then((exitCode) => {
  process.exitCode = exitCode;
});
