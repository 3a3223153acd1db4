/**
 * `robson agent --tui` on a terminal: brings the screen and the link together. What is sent stands on the screen
 * at once; its events change the block of running work and end as entries. The first Ctrl-C stops gracefully,
 * the second ends the process.
 */
import { type Clock, wait } from "../../core/clock.ts";
import { messageOf, RobsonError } from "../../core/errors.ts";
import type { CommandHelp } from "../../gateways/tui/completion.ts";
import { isRunning, type ShownEvent } from "../../gateways/tui/conversation.ts";
import type { HistoryFile } from "../../gateways/tui/history-file.ts";
import type { Terminal } from "../../gateways/tui/ink-terminal.ts";
import type { PromptEffect } from "../../gateways/tui/prompt.ts";
import { EXIT } from "../report-error.ts";
import type { TerminalLink } from "./link.ts";

export interface InteractiveOptions {
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  hasColor: boolean;
  clock: Clock;
  sessionId: string;
  history: HistoryFile;
  /** Aborted by the first SIGINT or SIGTERM. */
  interrupted: AbortSignal;
}

/** How often messages that say nothing are looked at, and how many at once. */
const SILENT_CHECK_MS = 1000;
const MAX_SILENT_CHECKS = 20;

/** One session of a person. */
export class InteractiveSession {
  readonly #options: InteractiveOptions;
  readonly #terminal: Terminal;
  readonly #over = new AbortController();
  #link: TerminalLink | undefined;
  #stopping: Promise<void> | undefined;
  #lines = 0;
  readonly #earlyWarnings: string[] = [];

  /** Takes the terminal over; `close` gives it back. */
  static async open(options: InteractiveOptions): Promise<InteractiveSession> {
    const { openTerminal } = await import("../../gateways/tui/ink-terminal.ts");
    return new InteractiveSession(options, (onEffect) =>
      openTerminal({ ...options, history: options.history.entries, onEffect }),
    );
  }

  private constructor(
    options: InteractiveOptions,
    open: (onEffect: (effect: PromptEffect) => void) => Terminal,
  ) {
    this.#options = options;
    this.#terminal = open((effect) => this.#onEffect(effect));
    this.#terminal.setStatus("Starting…");
  }

  /** For the link. */
  readonly onEvent = async (event: ShownEvent): Promise<void> => {
    this.#terminal.dispatch({ type: "event", event, at: this.#options.clock.now() });
    await this.#terminal.shown();
  };

  readonly onStatus = (status: string | undefined): void => {
    if (!this.#options.interrupted.aborted) this.#terminal.setStatus(status);
  };

  /** While it starts, a warning is a word on that; afterwards it is a line below the first one. */
  readonly warn = (text: string): void => {
    if (this.#link === undefined) {
      this.#earlyWarnings.push(text);
      this.#terminal.setStatus(`Starting… ${text}`);
    } else this.#terminal.dispatch({ type: "warning", text });
  };

  /** Talks until the person or the loop ends it. Resolves with the exit code. */
  async run(link: TerminalLink, commands: readonly CommandHelp[]): Promise<number> {
    this.#link = link;
    this.#terminal.setStatus(undefined);
    this.#terminal.dispatch({ type: "notice", text: `**Robson** · ${link.greeting}` });
    for (const text of this.#earlyWarnings.splice(0)) this.warn(text);
    this.#terminal.beginInput(commands);
    const { interrupted } = this.#options;
    interrupted.addEventListener("abort", () => this.#stop(), { once: true });
    if (interrupted.aborted) this.#stop();
    const watching = this.#endSilentWork(link);
    try {
      await link.ended;
      this.#terminal.dispatch({ type: "notice", text: link.farewell.stopped });
      return EXIT.ok;
    } finally {
      this.#over.abort(new Error("The session has ended"));
      await watching;
    }
  }

  /** Gives the terminal back. Safe to call twice. */
  close(): Promise<void> {
    return this.#terminal.close();
  }

  #onEffect(effect: PromptEffect): void {
    if (effect.type === "send") void this.#send(effect.text);
    else if (this.#stopping === undefined) this.#stop();
    else if (effect.type === "interrupt") void this.#endAtOnce();
  }

  async #send(text: string): Promise<void> {
    const { clock, sessionId, history } = this.#options;
    this.#lines += 1;
    const key = `${sessionId}:${this.#lines}`;
    history.append(text);
    this.#terminal.dispatch({ type: "said", key, text, at: clock.now() });
    try {
      const conversationId = await this.#linked().say({ content: text, idempotencyKey: key });
      this.#terminal.dispatch({ type: "accepted", key, conversationId });
    } catch (error) {
      const hint = error instanceof RobsonError && error.hint ? `\n${error.hint}` : "";
      this.#terminal.dispatch({ type: "refused", key, text: `${messageOf(error)}${hint}` });
    }
  }

  #stop(): void {
    if (this.#stopping !== undefined) return;
    // Nothing has begun that would have to end.
    if (this.#link === undefined) return void this.#endAtOnce();
    this.#terminal.endInput();
    this.#terminal.setStatus(this.#link.farewell.stopping);
    this.#stopping = this.#link.stop().catch((error: unknown) => this.warn(messageOf(error)));
  }

  #linked(): TerminalLink {
    if (this.#link !== undefined) return this.#link;
    throw new RobsonError("STOPPING", "Cannot send the message: Robson is still starting", {
      hint: "Send it again in a moment; the key up brings it back",
    });
  }

  /** What is open is taken up at the next start; nothing is lost. */
  async #endAtOnce(): Promise<void> {
    await this.close();
    process.exit(EXIT.interrupted);
  }

  /** A message may end without a word, which no event tells. */
  async #endSilentWork(link: TerminalLink): Promise<void> {
    const { signal } = this.#over;
    const { clock } = this.#options;
    while (!signal.aborted) {
      await wait(clock, SILENT_CHECK_MS, signal).catch(() => undefined);
      const old = this.#terminal.conversation.running.filter(
        ({ startedAt }) => clock.now() - startedAt > SILENT_CHECK_MS,
      );
      for (const { conversationId } of old.slice(0, MAX_SILENT_CHECKS)) {
        if (conversationId === undefined || signal.aborted) continue;
        // What cannot be read now is looked at again in a second.
        const hasEnded = await link.hasEndedSilently(conversationId).catch(() => false);
        if (hasEnded && isRunning(this.#terminal.conversation, conversationId)) {
          this.#terminal.dispatch({ type: "ended", conversationId });
        }
      }
    }
  }
}
