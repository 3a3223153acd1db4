/**
 * What may stand in robson.toml: every section and key with its default. The program sees the same names in
 * camelCase (`Config`). Secrets have no key here on purpose; they come from the environment.
 */
import * as z from "zod";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { DEFAULT_RETENTION, type RetentionRules } from "../core/retention.ts";
import { DEFAULT_GATE_POLICIES, GATE_DECISIONS, type GatePolicies } from "../workflow/gates/policy.ts";
import {
  DEFAULT_SANDBOX_LIMITS,
  DEFAULT_WORKFLOW_LIMITS,
  type SandboxLimits,
  type WorkflowLimits,
} from "../workflow/limits.ts";
import { templateProblem } from "../workflow/prompt-template.ts";
import { type CamelKeys, camelKeys, type SnakeCase, toSnakeCase } from "./key-case.ts";

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** Timers hold no longer wait than this many milliseconds (24 days), and no size is larger. */
const MAX_WHOLE_NUMBER = 2_147_483_647;

const text = () => z.string().min(1);
const wholeNumber = (minimum = 1) => z.int().min(minimum).max(MAX_WHOLE_NUMBER);

/** A process gives its sign of life three times in a lease; with a shorter one, healthy processes take each other for frozen. */
const MIN_LEASE_MS = 1000;

/** What git takes as a branch's name, with places for the task: its key, which keeps the tasks apart, and its words. */
const BRANCH_PATTERN =
  /^(?![-/.])(?!.*(?:\.\.|\/\/|\/\.|\.lock|[-/.]$))(?=.*\{key\})(?:[A-Za-z0-9._/-]|\{key\}|\{slug\})+$/;

/** One row of `[[schedules]]`; what its times mean is checked by the scheduler. */
const scheduleSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "it must be lower-case letters, digits and dashes"),
    every: z.exactOptional(wholeNumber()),
    cron: z.exactOptional(text()),
    timezone: z.exactOptional(text()),
    message: text(),
    gateway: z.exactOptional(text()),
    channel: z.exactOptional(text()),
  })
  .refine(({ every, cron }) => (every === undefined) !== (cron === undefined), {
    error: "it needs either every (seconds) or cron",
  });

export const configSchema = z
  .strictObject({
    database: section({
      url: text().default("robson.db"),
    }),
    server: section({
      host: text().default("127.0.0.1"),
      port: z.int().min(0).max(65_535).default(7420),
      max_concurrent_requests: wholeNumber().default(1024),
      max_bytes_under_way: wholeNumber().default(32 * 1024 * 1024),
      max_requests_per_minute: wholeNumber().default(6000),
      max_event_streams: wholeNumber().default(256),
      max_stream_buffer_bytes: wholeNumber().default(1024 * 1024),
      request_timeout_ms: wholeNumber().default(30_000),
      close_grace_ms: wholeNumber().default(5000),
    }),
    webhook: section({
      allow_callback_hosts: z.array(text()).default([]),
      default_channel: text().optional(),
      max_body_bytes: wholeNumber().default(1024 * 1024),
      max_subscribers: wholeNumber().default(1000),
    }),
    limits: limitsSection<Limits>(DEFAULT_LIMITS, { leaseMs: MIN_LEASE_MS }),
    log: section({
      level: z.enum(LOG_LEVELS).default("info"),
      file: text().optional(),
      levels: z.record(z.string(), z.enum(LOG_LEVELS)).default({}),
    }),
    access: section({
      listed_gateways: z.array(text()).default([]),
      open_gateways: z.array(text()).default([]),
      max_user_messages: wholeNumber().optional(),
      max_channel_messages: wholeNumber().optional(),
      window_seconds: z.int().min(1).max(86_400).default(60),
    }),
    retention: limitsSection<RetentionRules>(DEFAULT_RETENTION),
    operators: section({
      users: z.array(text()).default([]),
    }),
    workflow: section({
      work_dir: text().default("robson-work"),
      allow_file_repositories: z.boolean().default(false),
      allow_repository_hosts: z.array(text()).default([]),
      branch_pattern: text()
        .regex(BRANCH_PATTERN, 'a branch\'s name with {key}, and perhaps {slug}, as "robson/{key}-{slug}"')
        .default("robson/{key}-{slug}"),
      agent: text().default("scripted"),
      sandbox: z.enum(["bubblewrap", "docker", "none"]).default("bubblewrap"),
      run_pending_every_seconds: wholeNumber().optional(),
      pull_requests: z.enum(["ready", "draft"]).default("ready"),
      permissions: z.enum(["allow", "ask", "deny"]).default("allow"),
      limits: limitsSection<WorkflowLimits>(DEFAULT_WORKFLOW_LIMITS),
    }),
    gates: gatesSection(),
    sandbox: section({
      allow_domains: z.array(text()).default([]),
      environment: z.array(text()).default([]),
      readable: z.array(text()).default([]),
      docker_image: text().default("robson-sandbox"),
      limits: limitsSection<SandboxLimits>(DEFAULT_SANDBOX_LIMITS),
    }),
    repositories: z
      .array(
        z.strictObject({
          url: text(),
          base: z.exactOptional(text()),
          verify: z.exactOptional(z.array(z.array(text()).min(1))),
          prompt: z.exactOptional(promptTemplate()),
          protected_paths: z.exactOptional(z.array(text())),
          filter: z.exactOptional(
            text().regex(/^blob:(none|limit=\d+[kmg]?)$/, '"blob:none", or a size as "blob:limit=10m"'),
          ),
          submodules: z.exactOptional(z.enum(["fetch", "leave"])),
          lfs: z.exactOptional(z.enum(["refuse", "pointers"])),
        }),
      )
      .default([]),
    git_credentials: z
      .array(
        z.strictObject({
          host: text().regex(
            /^[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?$/,
            'a host, as "git.example.org" or "git.example.org:8443"',
          ),
          username: text().default("x-access-token"),
          token_env: z.exactOptional(
            text().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable, as "GIT_TOKEN"'),
          ),
          ca_file: z.exactOptional(text()),
        }),
      )
      .default([]),
    schedules: z.array(scheduleSchema).default([]),
    plugins: z
      .array(
        z.strictObject({
          use: text(),
          // Its keys are the plugin's own: they are not renamed, and its schema checks them.
          config: z.record(z.string(), z.unknown()).default({}),
        }),
      )
      .default([]),
    agents: section({
      scripted: section({
        script: text().optional(),
      }),
      claude_code: section({
        command: text().default("claude"),
        model: text().optional(),
        extra_args: z.array(text()).default([]),
        environment: variables(
          "ANTHROPIC_API_KEY",
          "ANTHROPIC_AUTH_TOKEN",
          "CLAUDE_CODE_OAUTH_TOKEN",
          "ANTHROPIC_BASE_URL",
        ),
        domains: z.array(text()).default(["api.anthropic.com"]),
      }),
      codex: section({
        command: text().default("codex"),
        model: text().optional(),
        extra_args: z.array(text()).default([]),
        environment: variables("CODEX_API_KEY"),
        domains: z.array(text()).default(["api.openai.com"]),
      }),
      acp: z
        .array(
          z.strictObject({
            name: text().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes"),
            command: text(),
            args: z.array(text()).default([]),
            model: z.exactOptional(text()),
            mode: z.exactOptional(text()),
            auth_method: z.exactOptional(text()),
            environment: variables(),
            domains: z.array(text()).default([]),
          }),
        )
        .default([]),
    }),
  })
  .prefault({});

/** The settings, complete, as the program uses them. */
export type Settings = CamelKeys<z.output<typeof configSchema>>;

/** What holds where robson.toml says nothing. */
export function defaultSettings(): Settings {
  return camelKeys(configSchema.parse({}));
}

/** A table that refuses unknown keys and may be left out. */
function section<Shape extends z.ZodRawShape>(shape: Shape) {
  // The cast: that every key of every section has a default or is optional is checked by `defaultSettings`.
  return z.strictObject(shape).prefault({} as never);
}

/** Names of variables of the environment. */
function variables(...names: string[]) {
  const name = text().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable, as "API_KEY"');
  return z.array(name).default(names);
}

/** A template for prompts, refused with what is wrong with it. */
function promptTemplate() {
  return text().superRefine((template, context) => {
    const problem = templateProblem(template);
    if (problem !== undefined) context.addIssue({ code: "custom", message: `a template, but ${problem}` });
  });
}

/** A section with one key for each gate, and the paths that are protected in every repository. */
function gatesSection() {
  type Shape = {
    [Name in keyof GatePolicies as SnakeCase<Name>]: z.ZodDefault<
      z.ZodEnum<{ allow: "allow"; ask: "ask"; refuse: "refuse" }>
    >;
  };
  const keys = Object.entries(DEFAULT_GATE_POLICIES).map(([name, value]) => [
    toSnakeCase(name),
    z.enum(GATE_DECISIONS).default(value),
  ]);
  return section({ ...(Object.fromEntries(keys) as Shape), protect: z.array(text()).default([]) });
}

/** A section with one key for each limit: whole numbers from 1 on, or from its minimum. */
function limitsSection<Limits extends object>(defaults: Limits, minimums: Partial<Limits> = {}) {
  type Shape = {
    [Name in keyof Limits as Name extends string ? SnakeCase<Name> : never]: z.ZodDefault<z.ZodInt>;
  };
  const keys = Object.entries(defaults).map(([name, value]) => [
    toSnakeCase(name),
    wholeNumber(minimums[name as keyof Limits] as number | undefined).default(value),
  ]);
  return section(Object.fromEntries(keys) as Shape);
}
