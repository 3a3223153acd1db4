/**
 * `robson agent --tui`: chooses how it talks (a screen, or lines where stdin or stdout is no terminal) and with
 * whom (a loop of its own, or the agent that owns the database already), and sees the session to its end.
 */
import { randomUUID } from "node:crypto";
import { systemClock } from "../../core/clock.ts";
import { hasCode, messageOf } from "../../core/errors.ts";
import { historyPath, openHistoryFile } from "../../gateways/tui/history-file.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import { createLog } from "../log.ts";
import type { CommandContext } from "../program.ts";
import { userName } from "../send-message.ts";
import { agentStatus, workersOf } from "../surroundings.ts";
import { withStore } from "../with-store.ts";
import { openAttachedLink } from "./attached-link.ts";
import { commandsOf } from "./commands.ts";
import { InteractiveSession } from "./interactive.ts";
import type { LinkOptions, TerminalLink } from "./link.ts";
import { type LocalLinkOptions, openLocalLink } from "./local-link.ts";
import { PlainSession } from "./plain.ts";
import { robsonClient } from "./robson-client.ts";
import { createTerminalLog } from "./terminal-log.ts";

/** Resolves with the exit code. */
export async function runTui(context: CommandContext): Promise<number> {
  const { stdin, stdout } = process;
  const isScreen = stdin.isTTY && stdout.isTTY && process.env.TERM !== "dumb" && !context.isJson;
  // The clock's timers do not keep a process alive, and here is someone who waits.
  const keepAlive = setInterval(() => undefined, 60_000);
  try {
    return await withStore(context.config, (store) =>
      isScreen ? onScreen(context, store) : inLines(context, store),
    );
  } finally {
    clearInterval(keepAlive);
    // A pipe that nobody closes must not keep the process.
    stdin.unref?.();
  }
}

async function onScreen({ io, config }: CommandContext, store: OpenedStore): Promise<number> {
  const sessionId = randomUUID();
  let session: InteractiveSession | undefined;
  const early: string[] = [];
  const warn = (text: string) => (session === undefined ? early.push(text) : session.warn(text));
  const log = createTerminalLog({ io, config, clock: systemClock, onWarning: (text) => void warn(text) });
  try {
    const history = openHistoryFile(historyPath(store.location, io.env), (error) => {
      warn(`The history of the input line cannot be kept: ${messageOf(error)}`);
    });
    session = await InteractiveSession.open({
      stdin: process.stdin,
      stdout: process.stdout,
      hasColor: io.env.NO_COLOR === undefined || io.env.NO_COLOR === "",
      clock: systemClock,
      sessionId,
      history,
      interrupted: io.catchSignals(),
    });
    for (const text of early) session.warn(text);
    const person = shared(session, sessionId);
    const link = await openLink({ ...person, store, config, log, hasServer: true });
    // Beside another process, the configuration says what that one has.
    const workers = link.workers ?? (await workersOf(store, { config, warn }));
    return await session.run(link, commandsOf(workers, { ...person, ...link.place }));
  } finally {
    await session?.close();
    log.close();
  }
}

async function inLines({ io, config, isJson }: CommandContext, store: OpenedStore): Promise<number> {
  const sessionId = randomUUID();
  const log = createLog({ io, config, isJson, atLeast: "warn" });
  const { stdin } = process;
  const interrupted = io.catchSignals();
  const session = new PlainSession({ io, isJson, stdin, clock: systemClock, sessionId, interrupted });
  try {
    const onStatus = (status: string | undefined) =>
      status === undefined ? undefined : log.warn({}, status);
    const options = { ...shared({ ...session, onStatus }, sessionId), store, config, log, hasServer: false };
    const link = await openLink(options);
    try {
      return await session.run(link);
    } finally {
      await link.stop();
    }
  } finally {
    log.close();
  }
}

function shared(session: Pick<LinkOptions, "onEvent" | "onStatus">, threadTs: string): LinkOptions {
  return { onEvent: session.onEvent, onStatus: session.onStatus, threadTs, userId: userName() };
}

/** To the loop of this process, unless another one has the database. */
async function openLink(options: LocalLinkOptions): Promise<TerminalLink> {
  const owners = await options.store.currentOwners();
  if (owners.length > 0) return openAttachedLink(await attachedTo(owners, options));
  try {
    return await openLocalLink(options);
  } catch (error) {
    // Another process was quicker.
    if (!hasCode(error, "ALREADY_RUNNING")) throw error;
    return openAttachedLink(await attachedTo(await options.store.currentOwners(), options));
  }
}

/** Of several processes, the one that answers there. */
async function attachedTo(owners: string[], options: LocalLinkOptions) {
  const [first = "another process", ...others] = owners;
  const status = others.length === 0 ? undefined : await agentStatus(options.config, owners);
  return { ...options, owner: status?.process ?? first, client: robsonClient(options.config) };
}
