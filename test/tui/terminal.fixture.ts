/**
 * A person at a terminal: `robson agent --tui` in a real pty, an emulator that shows what would be seen, and
 * keys to press. Each wait is for something on the screen, with a limit.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type IPty, spawn } from "@lydell/node-pty";
import xterm, { type Terminal as Emulator } from "@xterm/headless";
import { expect } from "vitest";
import { graphemeWidth } from "../../src/gateways/tui/width.ts";
import type { TestEnd } from "../../src/testing/temporary-folder.ts";

const MAIN = join(import.meta.dirname, "../../src/cli/main.ts");
const GOLDEN = join(import.meta.dirname, "golden");
const MAX_WAIT_MS = 60_000;
/** Only for writing golden files: the screen has settled when nothing came for so long. */
const SETTLED_MS = 700;

export interface TerminalOptions {
  cwd: string;
  columns?: number;
  rows?: number;
  env?: Record<string, string>;
  args?: string[];
}

/** Starts `robson agent --tui`; it is killed after the test if it still runs. */
export function startTerminal(t: TestEnd, options: TerminalOptions): PersonAtTerminal {
  const { cwd, columns = 80, rows = 24, env = {}, args = [] } = options;
  const pty = spawn(process.execPath, [MAIN, "agent", "--tui", ...args], {
    name: "xterm-256color",
    cols: columns,
    rows,
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd, ...env },
  });
  const person = new PersonAtTerminal(pty, { columns, rows, cwd });
  t.onTestFinished(async () => {
    pty.kill("SIGKILL");
    await person.exited;
  });
  return person;
}

export class PersonAtTerminal {
  readonly exited: Promise<number>;
  readonly #pty: IPty;
  readonly #emulator: Emulator;
  readonly #cwd: string;
  /** Everything that was written to the terminal, escape sequences included. */
  written = "";

  constructor(pty: IPty, { columns, rows, cwd }: { columns: number; rows: number; cwd: string }) {
    this.#pty = pty;
    this.#cwd = cwd;
    this.#emulator = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 1000 });
    this.#emulator.unicode.register(unicode);
    this.#emulator.unicode.activeVersion = unicode.version;
    pty.onData((data) => {
      this.written += data;
      this.#emulator.write(data);
    });
    this.exited = new Promise((resolve) => {
      pty.onExit(({ exitCode }) => resolve(exitCode));
    });
  }

  press(keys: string): void {
    this.#pty.write(keys);
  }

  /** As by a power cut. */
  kill(): void {
    this.#pty.kill("SIGKILL");
  }

  /** As a terminal with bracketed paste hands a clipboard over. */
  paste(text: string): void {
    this.press(`\u001b[200~${text.replaceAll("\n", "\r")}\u001b[201~`);
  }

  resize(columns: number, rows: number): void {
    this.#emulator.resize(columns, rows);
    this.#pty.resize(columns, rows);
  }

  /** What one would see now: the size, the cursor, and each row without what changes from run to run. */
  screen(): string {
    const { cols, rows, buffer } = this.#emulator;
    const { active } = buffer;
    const lines = Array.from({ length: rows }, (_, row) =>
      (active.getLine(active.baseY + row)?.translateToString(true) ?? "").trimEnd(),
    );
    const shown = lines
      .slice(0, lines.findLastIndex((line) => line !== "") + 1)
      .map((line) => this.#normalised(line));
    return `${[`${cols}x${rows}, cursor at ${active.cursorX},${active.cursorY}`, ...shown].join("\n")}\n`;
  }

  /** Resolves when the screen has this. */
  async sees(expected: string | RegExp, maxWaitMs = MAX_WAIT_MS): Promise<void> {
    const isThere = () => {
      const screen = this.screen();
      return typeof expected === "string" ? screen.includes(expected) : expected.test(screen);
    };
    if (!(await this.#until(isThere, maxWaitMs)))
      throw new Error(`It never showed ${expected}:\n${this.screen()}`);
  }

  /** Resolves when the screen is as the golden file has it; `UPDATE_GOLDEN=1` writes that file. */
  async looksLike(name: string): Promise<void> {
    const file = join(GOLDEN, `${name}.golden`);
    if (process.env.UPDATE_GOLDEN === "1") {
      await this.#settled();
      writeFileSync(file, this.screen());
    }
    const golden = existsSync(file) ? readFileSync(file, "utf8") : "";
    if (!(await this.#until(() => this.screen() === golden))) expect(this.screen()).toBe(golden);
  }

  /** Looks again after each thing that comes; false when the time is up. */
  #until(isTrue: () => boolean, maxWaitMs = MAX_WAIT_MS): Promise<boolean> {
    return new Promise((resolve) => {
      const look = () => {
        if (isTrue()) end(true);
      };
      const end = (result: boolean) => {
        clearTimeout(timer);
        parsed.dispose();
        resolve(result);
      };
      const timer = setTimeout(() => end(false), maxWaitMs);
      const parsed = this.#emulator.onWriteParsed(look);
      look();
    });
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        parsed.dispose();
        resolve();
      };
      let [timer, last] = [setTimeout(end, SETTLED_MS), ""];
      const parsed = this.#emulator.onWriteParsed(() => {
        if (this.screen() === last) return; // the spinner turns for ever
        last = this.screen();
        clearTimeout(timer);
        timer = setTimeout(end, SETTLED_MS);
      });
    });
  }

  #normalised(line: string): string {
    return line
      .replaceAll(this.#cwd, "FOLDER")
      .replace(/127\.0\.0\.1:\d+/u, "127.0.0.1:PORT")
      .replace(/attached to .+, process \d+ at/u, "attached to HOST, process PID at")
      .replace(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/gu, "⠋")
      .replace(/(?<=^⠋ .*) (?:\d+ min )?\d+ s$/u, "")
      .replace(/(?<=^↳ .*)(?:\d+ min )?\d+ s$/u, "TIME")
      .replace(/\b[0-9a-f]{12}\b/gu, "COMMIT");
  }
}

/** What was printed where no terminal is, held against its golden file. */
export function expectGolden(name: string, printed: string): void {
  const file = join(GOLDEN, `${name}.golden`);
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(file, printed);
  expect(printed).toBe(existsSync(file) ? readFileSync(file, "utf8") : "");
}

/** Columns as our own table has them; the emulator's default knows no emoji. */
const unicode = {
  version: "robson" as "6",
  wcwidth: (codePoint: number): 0 | 1 | 2 => graphemeWidth(String.fromCodePoint(codePoint)) as 0 | 1 | 2,
  charProperties(codePoint: number, preceding: number): number {
    const own = this.wcwidth(codePoint);
    const before = (preceding >> 1) & 3;
    const isJoined = own === 0 && before > 0;
    return ((isJoined ? before : own) << 1) | (isJoined ? 1 : 0);
  },
};
