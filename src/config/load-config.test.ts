import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import { expect, onTestFinished, test } from "vitest";
import { hasCode, type RobsonError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { configSchema, defaultSettings } from "./config-schema.ts";
import { type LoadConfigOptions, loadConfig } from "./load-config.ts";

function aFolder(files: Record<string, string> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "robson-config-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

function load(toml: string, options: Partial<LoadConfigOptions> = {}) {
  return loadConfig({ cwd: aFolder({ "robson.toml": toml }), env: {}, ...options });
}

function refusal(toml: string): RobsonError {
  try {
    load(toml);
  } catch (error) {
    if (hasCode(error, "CONFIG_INVALID", "CONFIG_UNREADABLE")) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("without a robson.toml the defaults hold", () => {
  const cwd = aFolder();
  const config = loadConfig({ cwd, env: {} });
  expect(config.limits).toEqual(DEFAULT_LIMITS);
  expect(config.server).toMatchObject({ host: "127.0.0.1", port: 7420 });
  expect(config.database.url).toBe(join(cwd, "robson.db"));
  expect(config.file).toBeUndefined();
});

test("robson.example.toml shows every key, with its default", () => {
  const example = readFileSync(new URL("../../robson.example.toml", import.meta.url), "utf8");
  // Keys without a default stand there commented out, as `#key = example`.
  const everything = parse(example.replace(/^#(?=[a-z_]+ = |\[)/gm, ""));
  expect(withoutOptional(everything)).toEqual(configSchema.parse({}));
  expect(configSchema.safeParse(everything).error).toBeUndefined();
  expect(load(example).limits).toEqual(defaultSettings().limits);
});

function withoutOptional(document: Record<string, unknown>) {
  const shown = structuredClone(document) as Record<string, Record<string, unknown>>;
  delete shown.webhook?.default_channel;
  delete shown.log?.file;
  delete shown.access?.max_user_messages;
  delete shown.access?.max_channel_messages;
  delete shown.workflow?.run_pending_every_seconds;
  const withoutModel = (name: string) => {
    const agents = shown.agents as Record<string, Record<string, unknown>>;
    return { ...agents[name], model: undefined };
  };
  return {
    ...shown,
    repositories: [],
    git_credentials: [],
    schedules: [],
    plugins: [],
    agents: { scripted: {}, claude_code: withoutModel("claude_code"), codex: withoutModel("codex"), acp: [] },
  };
}

test("a setting in the file wins over the default, and the rest of its section stays", () => {
  const config = load(
    '[limits]\nmax_message_attempts = 9\n[webhook]\nallow_callback_hosts = ["127.0.0.1"]\n',
  );
  expect(config.limits).toEqual({ ...DEFAULT_LIMITS, maxMessageAttempts: 9 });
  expect(config.webhook.allowCallbackHosts).toEqual(["127.0.0.1"]);
});

test("an unknown key is refused with its place and the nearest known one", () => {
  const error = refusal('[server]\nhost = "::1"\n  prot = 7420\n');
  expect(error.message).toBe('Cannot use robson.toml: line 3, column 3: unknown key "prot" in [server]');
  expect(error.hint).toBe('Did you mean "port"?');
});

test("an unknown section is refused, and where none is near the known ones are listed", () => {
  expect(refusal("[databse]\n")).toMatchObject({
    message: 'Cannot use robson.toml: line 1, column 2: unknown section "databse"',
    hint: 'Did you mean "database"?',
  });
  expect(refusal("[server]\ntimeout = 1\n").hint).toBe(
    `Known here: host, port, max_concurrent_requests, max_bytes_under_way, max_requests_per_minute, max_event_streams, \
max_stream_buffer_bytes, request_timeout_ms, close_grace_ms`,
  );
});

test("malformed TOML is refused with its place and the line", () => {
  const error = refusal("[server]\nport = 7420\nhost = 127.0.0.1\n");
  expect(error.message).toMatch(
    /^Cannot read robson\.toml: line 3, column \d+: [^\n]+\n {2}3 \| host = 127\.0\.0\.1\n *\^$/,
  );
});

test("a malformed line that may hold a secret is not shown", () => {
  for (const line of ["token = hunter2", "url = postgres://robson:hunter2@db/robson"]) {
    const error = refusal(`[server]\n${line}\n`);
    expect(error.message).toContain("line 2");
    expect(`${error.message} ${error.hint} ${String(error.cause)}`).not.toContain("hunter2");
  }
});

test("a wrong type is refused with the key, the line, the value and what is expected", () => {
  expect(refusal('[server]\nport = "abc"\n').message).toBe(
    'Cannot use robson.toml: line 2, column 1: server.port is the text "abc", but must be a whole number',
  );
  expect(refusal("[server]\nport = 70000\n").message).toContain(
    "server.port is 70000, but must be a whole number of at most 65535",
  );
  expect(refusal("limits.lease_ms = 50\n").message).toContain(
    "limits.lease_ms is 50, but must be a whole number of at least 1000",
  );
  expect(refusal("limits.stop_grace_ms = 1.5\n").message).toContain(
    "line 1, column 8: limits.stop_grace_ms is 1.5",
  );
  expect(refusal("[log]\nlevel = 'loud'\n").message).toContain(
    'must be one of "debug", "info", "warn", "error"',
  );
  expect(refusal("server = 5\n").message).toContain("server is 5, but must be a table");
  expect(refusal("[[repositories]]\nurl = 'a'\n[[repositories]]\nbase = 'b'\n").message).toBe(
    "Cannot use robson.toml: line 3, column 3: repositories[1].url is missing",
  );
  expect(refusal("[webhook]\nallow_callback_hosts = [\n'a',\n3]\n").message).toContain("line 4, column 1");
});

test("all mistakes are listed at once, in their order", () => {
  const error = refusal('[webhook]\nmax_body_byte = 1\n[server]\nprot = 1\nhost = ""\n');
  expect(error.message.split("\n")).toEqual([
    "Cannot use robson.toml: it has 3 mistakes",
    '  line 2, column 1: unknown key "max_body_byte" in [webhook] (Did you mean "max_body_bytes"?)',
    '  line 4, column 1: unknown key "prot" in [server] (Did you mean "port"?)',
    "  line 5, column 1: server.host is empty, but must be a text that is not empty (Give server.host a text that is not empty, or remove the line to have the default)",
  ]);
});

test.each([
  ['[server]\ntoken = "hunter2"\n', "ROBSON_TOKEN"],
  ['token = "hunter2"\n', "ROBSON_TOKEN"],
  ['[webhook]\nsigning_secret = "hunter2"\n', "ROBSON_WEBHOOK_SECRET"],
  ['[database]\nurl = "postgres://robson:hunter2@db/robson"\n', "ROBSON_DATABASE_URL"],
  ['[database]\npassword = "hunter2"\n', "ROBSON_DATABASE_URL"],
])("a secret in the file is refused with the variable to use: %#", (toml, variable) => {
  const error = refusal(toml);
  expect(error.message).toContain("secrets must not stand in a configuration file");
  expect(error.hint).toContain(variable);
  expect(`${error.message}${error.hint}`).not.toContain("hunter2");
});

test("the database of the command line wins over the environment's, and that over the file's", () => {
  const cwd = aFolder({ "robson.toml": '[database]\nurl = "file.db"\n' });
  const env = { ROBSON_DATABASE_URL: "postgres://u:p@db/robson" };
  expect(loadConfig({ cwd, env: {} }).database.url).toBe(join(cwd, "file.db"));
  expect(loadConfig({ cwd, env }).database.url).toBe("postgres://u:p@db/robson");
  expect(loadConfig({ cwd, env, database: "mine.db" }).database.url).toBe(join(cwd, "mine.db"));
});

test("the real environment wins over .env, and an empty variable counts as not set", () => {
  const cwd = aFolder({ ".env": 'ROBSON_TOKEN="from the file"\nROBSON_WEBHOOK_SECRET=whsec_file\n' });
  expect(loadConfig({ cwd, env: {} }).secrets.token).toBe("from the file");
  const config = loadConfig({ cwd, env: { ROBSON_TOKEN: "real", ROBSON_WEBHOOK_SECRET: "" } });
  expect(config.secrets).toMatchObject({ token: "real", webhookSecret: "whsec_file" });
});

test("a file named by --config must exist, and its paths are relative to it", () => {
  const cwd = aFolder();
  mkdirSync(join(cwd, "etc"));
  writeFileSync(join(cwd, "etc/my.toml"), '[database]\nurl = "sqlite:data.db"\n[log]\nfile = "robson.log"\n');
  const config = loadConfig({ cwd, env: {}, configFile: "etc/my.toml" });
  expect(config.database.url).toBe(join(cwd, "etc/data.db"));
  expect(config.log.file).toBe(join(cwd, "etc/robson.log"));
  expect(() => loadConfig({ cwd, env: {}, configFile: "absent.toml" })).toThrow(/Cannot read absent.toml/);
});

test("the work directory is where its path leads in the end, also while part of it is not there", () => {
  const cwd = aFolder();
  mkdirSync(join(cwd, "disk"));
  symlinkSync(join(cwd, "disk"), join(cwd, "data"));
  writeFileSync(join(cwd, "robson.toml"), '[workflow]\nwork_dir = "data/robson/work"');

  expect(loadConfig({ cwd, env: {} }).workflow.workDir).toBe(join(realpathSync(cwd), "disk/robson/work"));
});
