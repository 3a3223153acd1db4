import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { askGit, git } from "./git.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "./limits.ts";

const signal = new AbortController().signal;
let directory: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "robson-git-"));
  await git(["init", "--quiet", "--initial-branch=main"], { directory, signal });
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

test("nothing of the machine's git configuration and environment is seen", async () => {
  writeFileSync(join(directory, "config"), "[user]\n\tname = Someone\n");
  vi.stubEnv("GIT_CONFIG_GLOBAL", join(directory, "config"));
  vi.stubEnv("GIT_DIR", "/nonexistent");

  expect(await askGit(["config", "--get", "user.name"], { directory, signal })).toBeUndefined();
  expect((await git(["rev-parse", "--git-dir"], { directory, signal })).trim()).toBe(".git");
});

test("hooks of the checkout are not run", async () => {
  const hook = `#!/bin/sh\ntouch "${directory}/pwned"\n`;
  for (const name of ["post-checkout", "pre-commit"]) {
    writeFileSync(join(directory, ".git", "hooks", name), hook, { mode: 0o755 });
  }
  await git(["commit", "--quiet", "--allow-empty", "-m", "x"], { directory, signal });
  await git(["checkout", "--quiet", "-b", "other"], { directory, signal });

  expect(existsSync(join(directory, "pwned"))).toBe(false);
});

test("an error says what git said, without credentials, and whether to try again", async () => {
  const gone = git(["ls-remote", "--", "file://user:hunter2@localhost/gone.git"], { directory, signal });

  await expect(gone).rejects.toMatchObject({ code: "GIT_FAILED", hint: expect.any(String) });
  await expect(gone).rejects.toThrow(
    expect.not.objectContaining({ message: expect.stringContaining("hunter2") }),
  );
  await expect(git(["rev-parse", "--verify", "nothing"], { directory, signal })).rejects.toThrow(
    /^git rev-parse failed: it ended with 128, saying: fatal: Needed a single revision$/,
  );
});

test.each([
  ["fatal: could not read Username for 'https://h': terminal prompts disabled", "by ssh"],
  ["Host key verification failed.", "accept its key"],
  ["! [remote rejected] x -> x (pre-receive hook declined)", "by a rule of its own"],
  ["! [remote rejected] x -> x (push declined due to repository rule violations)", "by a rule of its own"],
  ["fatal: unable to access 'https://h/': The requested URL returned error: 301", "not followed"],
])("what only a person can mend is not tried again, and the hint says how: %s", async (said, hint) => {
  const failing = git(["-c", `alias.fail=!echo "${said}" >&2; exit 128`, "fail"], { directory, signal });

  await expect(failing).rejects.toMatchObject({ retry: "never", hint: expect.stringContaining(hint) });
});

test("transports that run programs are refused", async () => {
  await expect(
    git(["ls-remote", "--", `ext::touch ${directory}/pwned`], { directory, signal }),
  ).rejects.toThrow("transport 'ext' not allowed");
  expect(existsSync(join(directory, "pwned"))).toBe(false);
});

test("a command over its time is ended, and the limit is named", async () => {
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, gitTimeoutMs: 200, killGraceMs: 100 };
  const forever = git(["-c", "alias.forever=!sleep 600", "forever"], { directory, signal, limits });

  await expect(forever).rejects.toMatchObject({
    retry: "later",
    message: expect.stringContaining("gitTimeoutMs (200 ms)"),
  });
});

test("output over the limit is an error, never a part of it", async () => {
  for (const size of [1_000_000, 9_000_000]) writeFileSync(join(directory, String(size)), "x".repeat(size));
  await git(["add", "--all"], { directory, signal });

  expect(await git(["show", ":1000000"], { directory, signal })).toHaveLength(1_000_000);
  await expect(git(["show", ":9000000"], { directory, signal })).rejects.toMatchObject({
    code: "GIT_FAILED",
    message: expect.stringContaining("MAX_GIT_OUTPUT_BYTES (8388608)"),
  });
});

test("an abort ends the command with the signal's reason", async () => {
  const controller = new AbortController();
  const forever = git(["-c", "alias.forever=!sleep 600", "forever"], {
    directory,
    signal: controller.signal,
  });
  controller.abort(new Error("stopping"));

  await expect(forever).rejects.toThrow("stopping");
});
