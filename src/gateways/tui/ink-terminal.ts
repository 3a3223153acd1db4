/**
 * The terminal on the screen, by ink: finished entries go above for good (the terminal's own scroll-back has
 * them), the frame below them changes. All that is decided is decided in the pure files beside; here keys come
 * in and rows go out. Loaded only when there is a terminal, as ink and React are large.
 */
import { render, Static, Text, useAnimation, useCursor, useInput, usePaste, useWindowSize } from "ink";
import { createElement, Fragment, type ReactElement, useSyncExternalStore } from "react";
import type { Clock } from "../../core/clock.ts";
import type { CommandHelp } from "./completion.ts";
import {
  type Conversation,
  type ConversationAction,
  converse,
  EMPTY_CONVERSATION,
  type Entry,
} from "./conversation.ts";
import { entryRows } from "./entry-view.ts";
import { frameOf } from "./frame.ts";
import { keysOf } from "./keys.ts";
import { createPrompt, type Key, type Prompt, type PromptEffect, press } from "./prompt.ts";
import { type Row, toAnsi } from "./styled.ts";

export interface TerminalOptions {
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  hasColor: boolean;
  clock: Clock;
  /** What was typed in former sessions, the oldest first. */
  history: readonly string[];
  onEffect(effect: PromptEffect): void;
}

export interface Terminal {
  /** What is shown at this moment. */
  readonly conversation: Conversation;
  dispatch(action: ConversationAction): void;
  /** A word on the state of things above the input line; undefined: none. */
  setStatus(status: string | undefined): void;
  /**
   * Shows the input line. Before, only an interrupt is heard: what is typed while the terminal is not ours yet
   * arrives with other line ends, and would be taken for something else than was meant. It completes the commands.
   */
  beginInput(commands: readonly CommandHelp[]): void;
  /** Nothing can be typed from now on; an interrupt is still heard. */
  endInput(): void;
  /** Resolves when what was dispatched is on the screen. */
  shown(): Promise<void>;
  /** Leaves the conversation on the screen, and gives the terminal back. Safe to call twice. */
  close(): Promise<void>;
}

interface ScreenState {
  conversation: Conversation;
  prompt: Prompt | undefined;
  commands: readonly CommandHelp[];
  status: string | undefined;
}

/** Takes the terminal over. */
export function openTerminal(options: TerminalOptions): Terminal {
  const screen = new Screen(options);
  const instance = render(createElement(App, { screen, options }), {
    stdin: options.stdin,
    stdout: options.stdout,
    exitOnCtrlC: false,
    patchConsole: false,
    interactive: true,
  });
  return {
    get conversation() {
      return screen.state.conversation;
    },
    dispatch: (action) => screen.change({ conversation: converse(screen.state.conversation, action) }),
    setStatus: (status) => screen.change({ status }),
    beginInput: (commands) => screen.change({ commands, prompt: createPrompt(options.history) }),
    endInput: () => screen.change({ prompt: undefined }),
    shown: () => instance.waitUntilRenderFlush(),
    async close() {
      // What still runs does so elsewhere or later; nobody would turn its spinner any more.
      const conversation = { ...screen.state.conversation, running: [] };
      screen.change({ conversation, prompt: undefined, status: undefined });
      await instance.waitUntilRenderFlush();
      instance.unmount();
      await instance.waitUntilExit();
    },
  };
}

/** The state behind the screen, for React to subscribe to. */
class Screen {
  readonly #options: TerminalOptions;
  readonly #listeners = new Set<() => void>();
  #state: ScreenState;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#state = {
      conversation: EMPTY_CONVERSATION,
      prompt: undefined,
      commands: [],
      status: undefined,
    };
  }

  get state(): ScreenState {
    return this.#state;
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly snapshot = () => this.#state;

  change(change: Partial<ScreenState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }

  press(keys: readonly Key[]): void {
    for (const key of keys) {
      const { prompt, commands } = this.#state;
      if (prompt === undefined) {
        if (key.type === "interrupt") this.#options.onEffect({ type: "interrupt" });
        continue;
      }
      const pressed = press(prompt, key, commands);
      this.change({ prompt: pressed.prompt });
      if (pressed.effect) this.#options.onEffect(pressed.effect);
    }
  }
}

const SPINNER_MS = 120;

function App({ screen, options }: { screen: Screen; options: TerminalOptions }): ReactElement {
  const { conversation, prompt, status } = useSyncExternalStore(screen.subscribe, screen.snapshot);
  const size = useWindowSize();
  const isBusy = conversation.running.length > 0;
  const { frame: tick } = useAnimation({ interval: SPINNER_MS, isActive: isBusy });
  const { setCursorPosition } = useCursor();
  useInput((input, key) => screen.press(keysOf(input, key)));
  usePaste((text) => screen.press([{ type: "paste", text }]));

  const now = options.clock.now();
  const frame = frameOf({ running: conversation.running, prompt, status, size, now, tick });
  setCursorPosition(frame.cursor);
  const text = (rows: readonly Row[]) => rows.map((row) => toAnsi(row, options)).join("\n");
  const entry = (item: Entry, index: number) =>
    createElement(Text, { key: index }, text(entryRows(item, { width: size.columns })));
  const finished = { items: [...conversation.finished], children: entry };
  return createElement(
    Fragment,
    null,
    createElement(Static<Entry>, finished),
    createElement(Text, null, text(frame.rows)),
  );
}
