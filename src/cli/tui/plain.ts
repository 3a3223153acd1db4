/**
 * `robson agent --tui` without a terminal: each line of stdin is a message, and its answers are printed before
 * the next one is sent, so that they stand in the order of the lines. Answers to stdout, all else to stderr.
 */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { type Clock, wait } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import { isFinal } from "../../core/process-event.ts";
import type { ShownEvent } from "../../gateways/tui/conversation.ts";
import { safeText } from "../../gateways/tui/safe-text.ts";
import type { CliIo } from "../io.ts";
import { EXIT } from "../report-error.ts";
import type { TerminalLink } from "./link.ts";

export interface PlainOptions {
  io: CliIo;
  isJson: boolean;
  stdin: Readable;
  clock: Clock;
  sessionId: string;
  interrupted: AbortSignal;
}

/** How often a message that says nothing is looked at. */
const SILENT_CHECK_MS = 500;

/** Prints events, and knows which messages have had their end. */
export class PlainSession {
  readonly #options: PlainOptions;
  readonly #seen = new Set<number>();
  /** The message whose end is waited for. */
  #current:
    | { conversationId: number | undefined; hasFailed: boolean; end: PromiseWithResolvers<void> }
    | undefined;
  #early: ShownEvent[] = [];

  constructor(options: PlainOptions) {
    this.#options = options;
  }

  /** For the link: shows an event. */
  readonly onEvent = async (event: ShownEvent): Promise<void> => {
    if (this.#seen.has(event.eventId)) return;
    this.#seen.add(event.eventId);
    // The number of the message is not known yet: whose event it is shows in a moment.
    if (this.#current && this.#current.conversationId === undefined) this.#early.push(event);
    else this.#show(event);
  };

  /** Sends each line and waits for its end. Resolves with the exit code. */
  async run(link: TerminalLink): Promise<number> {
    const { stdin, interrupted } = this.#options;
    const lines = createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY, signal: interrupted });
    let hasFailed = false;
    let index = 0;
    try {
      for await (const line of lines) {
        if (interrupted.aborted) break;
        if (line.trim() === "") continue;
        index += 1;
        const isDone = await this.#send(link, {
          content: line,
          idempotencyKey: `${this.#options.sessionId}:${index}`,
        });
        hasFailed ||= !isDone;
      }
    } catch (error) {
      if (!interrupted.aborted) throw error;
    }
    if (interrupted.aborted) {
      this.#options.io.err("Interrupted; what was sent is kept, and the next `robson agent` goes on with it");
      return EXIT.interrupted;
    }
    return hasFailed ? EXIT.failed : EXIT.ok;
  }

  async #send(link: TerminalLink, line: { content: string; idempotencyKey: string }): Promise<boolean> {
    const { io, interrupted } = this.#options;
    const current = {
      conversationId: undefined as number | undefined,
      hasFailed: false,
      end: Promise.withResolvers<void>(),
    };
    this.#current = current;
    try {
      current.conversationId = await link.say(line);
    } catch (error) {
      this.#current = undefined;
      if (!(error instanceof RobsonError) || interrupted.aborted) throw error;
      io.err(
        `${io.style("red", "error:")} ${error.message}${error.hint ? `\n${io.style("bold", "hint:")} ${error.hint}` : ""}`,
      );
      return false;
    }
    for (const event of this.#early.splice(0)) this.#show(event);
    await this.#waitForEnd(link, { conversationId: current.conversationId, end: current.end.promise });
    this.#seen.clear();
    return !current.hasFailed;
  }

  async #waitForEnd(
    link: TerminalLink,
    message: { conversationId: number; end: Promise<void> },
  ): Promise<void> {
    const { clock, interrupted } = this.#options;
    const over = new AbortController();
    const signal = AbortSignal.any([interrupted, over.signal]);
    const silently = (async () => {
      do await wait(clock, SILENT_CHECK_MS, signal);
      while (!(await link.hasEndedSilently(message.conversationId)));
    })();
    const ended = link.ended.then(() => {
      throw new RobsonError("STOPPING", "Cannot wait for the answer: the loop has ended", {
        hint: "The message is kept; start `robson agent` to have it done",
      });
    });
    try {
      await Promise.race([message.end, silently, ended]);
    } finally {
      over.abort(new Error("The message has ended"));
      silently.catch(() => undefined);
      ended.catch(() => undefined);
    }
  }

  #show(event: ShownEvent): void {
    const { io, isJson } = this.#options;
    const isOurs = this.#current?.conversationId === event.conversationId;
    const { eventId, conversationId, kind, content } = event;
    if (isJson) io.out(JSON.stringify({ conversationId, eventId, kind, content }));
    else if (!isOurs) io.err(`(message ${conversationId}) ${safeText(content)}`);
    else if (isFinal(kind)) io.out(safeText(content));
    else io.err(io.style("dim", safeText(content)));
    if (!isOurs || !isFinal(kind) || !this.#current) return;
    this.#current.hasFailed ||= kind === "failed";
    this.#current.end.resolve();
  }
}
