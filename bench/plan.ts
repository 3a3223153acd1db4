/** What is measured with whom, in which order, and how much of it: in full, or in a minute and a half. */
import type { EngineName } from "./engines/index.ts";
import type { Measurement } from "./measure.ts";
import type { Mode, ModeOptions } from "./modes.ts";

export interface Size {
  rounds: number;
  /** Messages, for Robson and the models; the others get less where they are slower. */
  count: number;
  seconds: number;
  historyRows: number;
  starts: number;
  processes: number[];
  isQuick: boolean;
}

export const FULL: Size = {
  rounds: 3,
  count: 20_000,
  seconds: 10,
  historyRows: 1_000_000,
  starts: 6,
  processes: [1, 4],
  isQuick: false,
};

export const QUICK: Size = {
  rounds: 1,
  count: 3000,
  seconds: 1,
  historyRows: 20_000,
  starts: 1,
  processes: [1, 2],
  isQuick: true,
};

interface Row {
  engine: EngineName;
  variant?: string;
  /** How many of `Size.count` it gets. */
  share: number;
  modes: Mode[];
  /** In the quick form too, with these modes. */
  quickModes?: Mode[];
}

const ALL: Mode[] = ["preload", "stream", "latency", "idle"];
const RATES: Mode[] = ["preload", "stream"];

const ROWS: Row[] = [
  { engine: "robson-sqlite", share: 1, modes: ALL, quickModes: ALL },
  { engine: "model-sqlite", share: 1, modes: ALL, quickModes: ["preload", "stream", "latency"] },
  { engine: "original", variant: "normal", share: 0.5, modes: ALL, quickModes: ["stream"] },
  { engine: "plainjob", variant: "default", share: 0.25, modes: ALL, quickModes: ["stream"] },
  { engine: "plainjob", variant: "fast", share: 0.25, modes: ["latency", "idle"] },
  { engine: "bullmq", variant: "everysec", share: 0.5, modes: ALL, quickModes: RATES },
  { engine: "robson-postgres", share: 1, modes: ALL, quickModes: ["preload", "stream", "latency"] },
  { engine: "model-postgres", share: 1, modes: ALL, quickModes: RATES },
  { engine: "graphile-worker", variant: "default", share: 0.1, modes: ALL },
  { engine: "graphile-worker", variant: "batched", share: 0.1, modes: ALL, quickModes: RATES },
  { engine: "pg-boss", variant: "notify", share: 0.1, modes: ALL, quickModes: ["stream"] },
  // What it begins at once cannot be stored first and worked on later.
  { engine: "dbos", variant: "direct", share: 0.05, modes: ["stream", "latency", "idle"] },
  { engine: "dbos", variant: "queue", share: 0.05, modes: ALL },
  { engine: "openworkflow", variant: "postgres", share: 0.02, modes: ALL },
  { engine: "openworkflow", variant: "sqlite", share: 0.02, modes: ALL },
];

/** The server that an engine needs, whose CPU counts with its own. */
export function serverOf({
  engine,
  variant,
}: {
  engine: string;
  variant: string;
}): "postgres" | "redis" | undefined {
  if (engine === "bullmq") return "redis";
  return ON_POSTGRES.includes(engine) && variant !== "sqlite" ? "postgres" : undefined;
}

const ON_POSTGRES: readonly string[] = [
  "robson-postgres",
  "model-postgres",
  "graphile-worker",
  "pg-boss",
  "dbos",
  "openworkflow",
];

/** In the quick form less, so that even the slowest ends soon. */
const QUICK_SLOW_SHARE = 0.1;

export type Planned = Omit<Measurement, keyof Surroundings>;

interface Surroundings {
  dist: string;
  postgresUrl: string | undefined;
  serverPid: number | undefined;
  redisPort: number | undefined;
}

/** The measurements of one round, in their order. */
export function planRound(size: Size, templates: Partial<Record<EngineName, string>>): Planned[] {
  const planned = ROWS.flatMap((row) => {
    const modes = size.isQuick ? (row.quickModes ?? []) : row.modes;
    const share = size.isQuick && row.share < 0.5 ? Math.min(row.share, QUICK_SLOW_SHARE) : row.share;
    return modes.map((mode) => plannedRow(row, { mode, count: Math.round(size.count * share), size }));
  });
  const robson = ROWS.filter(({ engine }) => engine.startsWith("robson-"));
  const histories = robson.flatMap((row) => {
    const base = plannedRow(row, { mode: "stream", count: size.count, size });
    const template = templates[row.engine];
    // The quick form has too few rows to show anything but that it can be measured.
    if (template === undefined || (size.isQuick && row.engine === "robson-postgres")) return [];
    return [
      { ...base, scenario: "without history" },
      { ...base, scenario: "with history", template },
    ];
  });
  const [onSqlite] = robson;
  return [...planned, ...histories, ...(onSqlite ? blockedBy(onSqlite, size) : [])];
}

/** How long storage blocks the event loop: at full strength, and with another program on the same file. */
function blockedBy(row: Row, size: Size): Planned[] {
  const stream = plannedRow(row, { mode: "stream", count: size.count, size });
  const steady = plannedRow(row, { mode: "latency", count: size.count, size });
  const faster = { ...steady, options: { ...steady.options, rate: 200 } };
  return [
    { ...stream, scenario: "storage blocks, stream", watchesStorage: true },
    { ...faster, scenario: "storage blocks, foreign writer", watchesStorage: true, hasForeignWriter: true },
    ...(size.isQuick
      ? []
      : [
          { ...faster, scenario: "storage blocks, 200/s", watchesStorage: true },
          {
            ...stream,
            scenario: "storage blocks, stream and foreign writer",
            watchesStorage: true,
            hasForeignWriter: true,
          },
        ]),
  ];
}

function plannedRow(
  { engine, variant = "default" }: Row,
  { mode, count, size }: { mode: Mode; count: number; size: Size },
): Planned {
  const options: ModeOptions = {
    count,
    conversations: 500,
    producers: 64,
    rate: 50,
    seconds: size.seconds,
    warmUp: size.isQuick ? 50 : 200,
    timeoutSeconds: size.isQuick ? 30 : 240,
  };
  const rest = { template: undefined, hasForeignWriter: false, watchesStorage: false };
  return { engine, variant, mode, scenario: mode, options, ...rest };
}
