/**
 * What ends a program when Robson is killed: a shell that waits at the other end of a pipe. When Robson dies, however
 * that happens, the system closes the pipe, and the shell ends the program's group and whatever carries its mark. It
 * is outside of every group that a terminal or a supervisor of services would signal first.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

export interface Guardian {
  /** The group that it ends with Robson; called once. */
  watch(group: number): void;
  /** It is not needed any more. Safe to call twice. */
  dismiss(): Promise<void>;
}

/** Starts one. A machine without `sh` has none; what Robson leaves there is found at the next start. */
export function guard({ mark }: { mark: string }): Guardian {
  const shell = spawn("sh", ["-c", SCRIPT, "robson-guardian", mark], {
    cwd: "/",
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.on("error", () => undefined);
  shell.stdin.on("error", () => undefined);
  // It must not keep Robson running: it is there for the time after him.
  shell.unref();
  return {
    watch: (group) => void shell.stdin.write(`${group}\n`),
    dismiss: () => end(shell),
  };
}

async function end(shell: ChildProcess): Promise<void> {
  if (shell.pid === undefined || shell.exitCode !== null || shell.signalCode !== null) return;
  shell.ref();
  const exited = once(shell, "exit");
  shell.kill("SIGKILL");
  await exited;
}

/**
 * The first line is the group; there is no second one, its absence is Robson's end. `grep` looks for the mark in every
 * environment, again until nothing is found: what was just being started may not have shown it yet.
 */
const SCRIPT = `
read -r group
read -r never
test -z "$group" || kill -KILL -- "-$group"
round=0
while test $round -lt 50; do
  found=$(grep -lszxFe "$1" /proc/[0-9]*/environ)
  test -n "$found" || exit 0
  for file in $found; do pid=\${file#/proc/}; kill -KILL "\${pid%/environ}"; done
  round=$((round + 1))
done
`;
