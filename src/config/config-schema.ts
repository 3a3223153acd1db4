/**
 * What may stand in robson.toml: every section and key with its default. The program sees the same names in
 * camelCase (`Config`). Secrets have no key here on purpose; they come from the environment.
 */
import * as z from "zod";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { DEFAULT_RETENTION, type RetentionRules } from "../core/retention.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../workflow/limits.ts";
import { type CamelKeys, camelKeys, type SnakeCase, toSnakeCase } from "./key-case.ts";

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** Timers hold no longer wait than this many milliseconds (24 days), and no size is larger. */
const MAX_WHOLE_NUMBER = 2_147_483_647;

const text = () => z.string().min(1);
const wholeNumber = () => z.int().min(1).max(MAX_WHOLE_NUMBER);

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
    limits: limitsSection<Limits>(DEFAULT_LIMITS),
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
      agent: z.enum(["scripted"]).default("scripted"),
      run_pending_every_seconds: wholeNumber().optional(),
      limits: limitsSection<WorkflowLimits>(DEFAULT_WORKFLOW_LIMITS),
    }),
    repositories: z
      .array(
        z.strictObject({
          url: text(),
          base: z.exactOptional(text()),
          verify: z.exactOptional(z.array(z.array(text()).min(1))),
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

/** A section with one key for each limit: whole numbers from 1 on. */
function limitsSection<Limits extends object>(defaults: Limits) {
  type Shape = {
    [Name in keyof Limits as Name extends string ? SnakeCase<Name> : never]: z.ZodDefault<z.ZodInt>;
  };
  const keys = Object.entries(defaults).map(([name, value]) => [
    toSnakeCase(name),
    wholeNumber().default(value),
  ]);
  return section(Object.fromEntries(keys) as Shape);
}
