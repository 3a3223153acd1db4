/**
 * The process between a test run and its PostgreSQL. It starts the server, says on stdout where it is, and then
 * waits for stdin to end, which happens however the test run ends. Run by startPostgres(), never imported for
 * more than its types.
 */
import { messageOf } from "../../core/errors.ts";
import { type ServerOptions, startServer } from "./server.ts";

/** The one line that the guard writes. */
export type GuardReport = { url: string } | { error: string };

const isOver = new Promise<void>((resolve) => {
  process.stdin.resume();
  for (const event of ["end", "close", "error"]) process.stdin.on(event, () => resolve());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
});
// The reader of the report may be gone already; the end of stdin then ends us.
process.stdout.on("error", () => undefined);

try {
  const options = JSON.parse(process.argv[2] ?? "") as ServerOptions;
  const server = await startServer(options, isOver);
  report({ url: server.url });
  await Promise.race([isOver, server.ended]);
  await server.stop();
} catch (error) {
  report({ error: messageOf(error) });
  process.exitCode = 1;
}
process.stdin.destroy();

function report(line: GuardReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
