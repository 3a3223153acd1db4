/** Where `robson` starts: the arguments in, the exit code out. */
import { processIo } from "./io.ts";
import { runCli } from "./program.ts";

/** How long what a plugin or a worker has left open may hold a process that is done. */
const MAX_LINGER_MS = 1000;

const io = processIo();
void runCli(process.argv.slice(2), io).then((exitCode) => {
  process.exitCode = exitCode;
  const end = () => {
    io.err("Something was left open, as a timer or a connection of a plugin or a worker; ended without it");
    process.exit();
  };
  setTimeout(end, MAX_LINGER_MS).unref();
});
