/**
 * Ways out of a sandbox as a hostile program tries them: by files and their names. `%…%` stands for what the test
 * knows of the machine.
 */
import { existsSync, statSync } from "node:fs";
import { expect } from "vitest";
import type { Corner } from "./sandbox.fixture.ts";

/** One way out, as a program tries it. */
export interface Way {
  /** What is tried. */
  way: string;
  /** What the program runs. */
  sh?: string;
  js?: string;
  perl?: string;
  /** Arguments after the program's text. */
  args?: string[];
  /** What it meets. */
  meets: RegExp;
  /** What must hold on the machine afterwards. */
  after?: (corner: Corner) => void;
}

const gone = /No such file|ENOENT|cannot open|not found/;
export const WAYS_TO_FILES: Way[] = [
  // what Robson knows
  { way: "reads the environment", sh: "env; echo looked", meets: /looked/ },
  {
    way: "reads the environment of its parents",
    sh: "cat /proc/$PPID/environ /proc/1/environ /proc/*/environ | tr '\\0' '\\n'; echo looked",
    meets: /looked/,
  },
  { way: "looks for Robson's process", sh: "ls /proc/%PID%/fd /proc/%PID%/cwd/", meets: gone },
  { way: "counts the processes of others", sh: "ls -d /proc/[0-9]* | wc -l", meets: /^[1-9]$/m },
  { way: "reads Robson's database", sh: "cat %ROBSON%/robson.db", meets: gone },
  { way: "reads Robson's settings", sh: "cat %ROBSON%/robson.toml %ROBSON%/.env", meets: gone },
  { way: "reads another task's checkout", sh: "cat %NEIGHBOUR%/secret.txt; ls %NEIGHBOUR%/..", meets: gone },
  {
    way: "walks up from its checkout",
    sh: "cd ../../..; pwd; find . -name robson.db -o -name secret.txt; ls",
    meets: /^work$/m,
  },

  // files of the machine
  { way: "reads the keys of the user", sh: "cat %HOME%/.ssh/* %ROBSON%/keys/*; ls %HOME%", meets: gone },
  { way: "lists homes", sh: "ls /root /home", meets: gone },
  { way: "reads passwords of the machine", sh: "cat /etc/shadow /etc/gshadow", meets: gone },
  {
    way: "reads who has an account",
    sh: "cat /etc/passwd",
    meets: /^robson:x:1000:1000:robson:[^:]*:\/bin\/sh\nnobody:.*\n$/,
  },
  { way: "looks behind the root", sh: "ls /proc/1/root/root /oldroot /newroot /..%ROBSON%", meets: gone },
  {
    way: "writes among the system's programs",
    sh: "touch /usr/bin/x; touch /etc/x; touch /x",
    meets: /(.*Read-only.*\n){3}/,
  },
  {
    way: "reads and writes what is set in the kernel",
    sh: `cat /proc/sys/kernel/core_pattern; echo '|/tmp/x' > /proc/sys/kernel/core_pattern`,
    meets: /Read-only file system/,
  },
  {
    way: "pulls the emergency lever of the kernel",
    sh: "echo h > /proc/sysrq-trigger",
    meets: /Read-only|Permission|No such|nonexistent/i,
  },
  {
    way: "reads the kernel's addresses and log",
    sh: "cat /proc/kallsyms; cat /proc/kmsg; cat /proc/keys; dmesg",
    meets: /(Permission denied|not permitted|No such)[\s\S]*(Permission denied|not permitted|No such)/,
  },
  { way: "looks into /sys", sh: "ls /sys/class /sys/fs/cgroup", meets: gone },
  {
    way: "makes itself the last to be ended when memory is short",
    sh: "echo -1000 > /proc/self/oom_score_adj",
    meets: /Read-only/,
  },

  // out of the checkout by name
  { way: "makes a link out of the checkout", sh: "ln -s %ROBSON%/robson.db data; cat data", meets: gone },
  {
    way: "makes a hard link to a file outside",
    sh: "ln %ROBSON%/robson.db data; ln /usr/bin/env data",
    meets: /(No such file[\s\S]*|failed to create hard link|Invalid cross-device)/,
  },
  {
    way: "swaps the checkout for a link",
    sh: "cd /; mv %CHECKOUT% %CHECKOUT%.old; rm -rf %CHECKOUT%; ln -s %ROBSON% %CHECKOUT%; cat %CHECKOUT%/robson.db",
    meets: /busy|Read-only/,
    after: ({ checkout }) => expect(statSync(checkout).isDirectory()).toBe(true),
  },
  {
    way: "leads git to Robson's clone",
    sh: "echo 'gitdir: %ROBSON%/clone' > .git; git log",
    meets: /not a git repository/,
  },
  {
    way: "borrows objects of another repository",
    sh: "git init -q; mkdir -p .git/objects/info; echo %ROBSON%/clone/objects > .git/objects/info/alternates; git fsck; git cat-file -p HEAD",
    meets: /unable to normalize|does not exist|Not a valid object/,
  },
  {
    way: "clones by a submodule's file address",
    sh: "git init -q; git -c protocol.file.allow=always submodule add file://%ROBSON%/clone sub",
    meets: /does not exist|not appear to be a git/,
  },
  {
    way: "plants settings and hooks for other people's git",
    sh: "git config --system core.hooksPath /tmp; git config --global core.fsmonitor 'touch /tmp/pwned'; echo done",
    meets: /(could not lock|Read-only|No such file)[\s\S]*done/,
    after: () => expect(existsSync("/tmp/pwned")).toBe(false),
  },
  {
    way: "asks git's credential helpers",
    sh: "printf 'protocol=https\\nhost=github.com\\n\\n' | git credential fill",
    meets: /could not read Username|terminal prompts disabled/,
  },
  {
    way: "is named by a branch with a shell's characters",
    sh: 'printf "%s\\n" "$0" "$@"; ls',
    args: ["$(touch pwned)`touch pwned`;touch pwned", "a\nb'\"&|>pwned"],
    meets: /^\$\(touch pwned\)`touch pwned`;touch pwned\na\nb'"&\|>pwned\nREADME\.md\n$/,
  },
];
