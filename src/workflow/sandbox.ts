/**
 * The contract of a sandbox: what stands between a program that works on a checkout (an agent, a check) and the
 * machine. It starts nothing itself: it says how a program is to be started, and the supervisor starts it, in a
 * session of its own (`detached`), with closed or piped standard streams and no terminal.
 */

/** A program as whoever wants it run would start it; no shell is involved. */
export interface Program {
  command: string;
  args: string[];
  /** Where it runs: the checkout, or a folder in it. */
  directory: string;
  /** All that it sees of the environment. */
  environment: Record<string, string>;
}

/** What the program may reach. All that is not named is read-only or absent, as the sandbox's docs say. */
export interface SandboxRules {
  /**
   * Folders that it may write; the checkout and its own home as a rule. Absolute, and no link leads there: a folder
   * that was swapped for a link is refused. Nothing of the same run may be running in them when `wrap` is called.
   */
  writable: string[];
  /** Files and folders that it may read besides what every program needs (libraries, /usr). The same holds for them. */
  readable: string[];
  /** Hosts that it may reach: `example.org`, `*.example.org`, `example.org:8443`. None: no network at all. */
  allowedDomains: string[];
}

/** A program as the supervisor starts it. Signals to its process group reach the program inside. */
export interface SandboxedProgram extends Program {
  /**
   * Aborted, with a `SANDBOX_LIMIT` error as its reason, when the program has used up what can only be watched (the
   * disk). Whoever started it ends it then.
   */
  overLimit: AbortSignal;
  /**
   * Removes what `wrap` made for it (a proxy, a socket, a control group) and ends what is left of it. Called once it
   * has ended, or was never started; safe to call twice. After a crash, the next `wrap` removes what was left behind.
   */
  close(): Promise<void>;
}

export interface Sandbox {
  name: SandboxName;
  /**
   * Rejects with `SANDBOX_UNAVAILABLE`, saying what to install or what to write into robson.toml. Resolves with what
   * this machine cannot hold, each a sentence for the operator.
   */
  check(options: { signal: AbortSignal }): Promise<{ warnings: string[] }>;
  /** Rejects with `SANDBOX_REFUSED` when a rule would give away what must not be, or the program is not within reach, with `PROGRAM_MISSING` when there is none. */
  wrap(program: Program, rules: SandboxRules): Promise<SandboxedProgram>;
}

export type SandboxName = "bubblewrap" | "docker" | "none";
