/** What Robson set out to reach, each beside what this run has shown: met, missed, or not measured. */
import { round } from "./readings.ts";
import type { Results } from "./results.ts";
import { markdown } from "./table.ts";

interface Target {
  what: string;
  /** The figure, in words of its own, and whether it is enough; undefined where the run did not measure it. */
  measured: { figure: string; isMet: boolean } | undefined;
}

export function targetsTable(results: Results): string {
  const rows = targets(results).map(({ what, measured }) => [
    what,
    measured?.figure ?? "–",
    measured === undefined ? "not measured" : measured.isMet ? "met" : "**missed**",
  ]);
  return markdown(["target", "measured", ""], rows);
}

export function targets(results: Results): Target[] {
  return [...rates(results), ...latencies(results), ...resources(results), ...storage(results)];
}

const RATES = ["preload", "stream"];
const ROBSONS = ["robson-sqlite", "robson-postgres"];

function rates(results: Results): Target[] {
  const rate = (engine: string, scenario: string) => results.median({ engine, scenario }, "perSecond");
  const best = (engine: string, scenario: string) => {
    const variants = results.engines().filter((each) => each.engine === engine);
    const all = variants.flatMap((each) => results.median({ ...each, scenario }, "perSecond") ?? []);
    return all.length === 0 ? undefined : Math.max(...all);
  };
  const ratios = RATES.flatMap((scenario) => [
    atLeast(`SQLite at least 3 times BullMQ (everysec), ${scenario}`, {
      value: quotient(rate("robson-sqlite", scenario), best("bullmq", scenario)),
      wanted: 3,
    }),
    atLeast(`SQLite at least 0.65 of its model, ${scenario}`, {
      value: quotient(rate("robson-sqlite", scenario), rate("model-sqlite", scenario)),
      wanted: 0.65,
    }),
    atLeast(`PostgreSQL at least 10 times graphile-worker (its best variant), ${scenario}`, {
      value: quotient(rate("robson-postgres", scenario), best("graphile-worker", scenario)),
      wanted: 10,
    }),
    atLeast(`PostgreSQL at least 0.65 of its model, ${scenario}`, {
      value: quotient(rate("robson-postgres", scenario), rate("model-postgres", scenario)),
      wanted: 0.65,
    }),
  ]);
  const [one, four] = [1, 4].map((processes) =>
    results.median({ engine: "robson-postgres", scenario: "processes", processes }, "perSecond"),
  );
  return [
    ...ratios,
    atLeast("four processes on PostgreSQL faster than one", { value: quotient(four, one), wanted: 1 }),
    atLeast("12,000 messages/s on SQLite (stream)", {
      value: rate("robson-sqlite", "stream"),
      wanted: 12_000,
    }),
    atLeast("8,000 messages/s on PostgreSQL with one process (stream)", {
      value: rate("robson-postgres", "stream"),
      wanted: 8000,
    }),
  ];
}

function latencies(results: Results): Target[] {
  const scenario = "latency";
  const ours = results.median({ engine: "robson-sqlite", scenario }, "endToEndMs.p50");
  const model = results.median({ engine: "model-sqlite", scenario }, "endToEndMs.p50");
  const peers = results
    .engines()
    .filter(({ engine }) => !engine.startsWith("robson-") && !engine.startsWith("model-"))
    .flatMap((each) => results.median({ ...each, scenario }, "endToEndMs.p50") ?? []);
  const quickest = peers.length === 0 ? undefined : Math.min(...peers);
  return [
    atMost("p50 at 50/s at most 1.5 times the SQLite model's", { value: quotient(ours, model), wanted: 1.5 }),
    atMost("p50 at 50/s under every peer's (ratio to the quickest)", {
      value: quotient(ours, quickest),
      wanted: 1,
    }),
    ...ROBSONS.flatMap((engine) => [
      atMost(`p50 at 50/s at most 3 ms, ${engine}`, {
        value: results.median({ engine, scenario }, "endToEndMs.p50"),
        wanted: 3,
      }),
      atMost(`p99 at 50/s at most 15 ms, ${engine}`, {
        value: results.median({ engine, scenario }, "endToEndMs.p99"),
        wanted: 15,
      }),
    ]),
  ];
}

function resources(results: Results): Target[] {
  return ROBSONS.flatMap((engine) => {
    const agent = (figure: string) => results.median({ engine, scenario: "agent" }, figure);
    const cpu = (scenario: string) => {
      const own = results.median({ engine, scenario }, "cpuUsPerMessage");
      const server = results.median({ engine, scenario }, "serverCpuUsPerMessage");
      return own === undefined || server === undefined ? undefined : own + server;
    };
    const rows = results.largest({ engine, scenario: "with history" }, "stored.messages");
    const past = rows === undefined ? "" : ` (${rows.toLocaleString("en")} messages in it)`;
    return [
      atMost(`robson agent idle at most 0.5 % CPU, ${engine}`, {
        value: agent("idleCpuPercent"),
        wanted: 0.5,
      }),
      atMost(`robson agent idle at most 120 MB RSS, ${engine}`, { value: agent("residentMb"), wanted: 120 }),
      atMost(`robson agent accepts within 500 ms, ${engine}`, { value: agent("readyMs"), wanted: 500 }),
      atMost(`CPU a message with history within 1.1 times of without, ${engine}${past}`, {
        value: quotient(cpu("with history"), cpu("without history")),
        wanted: 1.1,
      }),
    ];
  });
}

function storage(results: Results): Target[] {
  const scenarios = new Set(results.lines.map(({ scenario = "" }) => scenario));
  return [...scenarios]
    .filter((scenario) => scenario.startsWith("storage blocks"))
    .map((scenario) =>
      atMost(`event loop never blocked over 20 ms by storage: ${scenario.replace("storage blocks, ", "")}`, {
        value: results.largest({ engine: "robson-sqlite", scenario }, "storageBlockMs.max"),
        wanted: 20,
      }),
    );
}

interface Measured {
  value: number | undefined;
  wanted: number;
}

function atLeast(what: string, { value, wanted }: Measured): Target {
  return { what, measured: measured(value, (figure) => figure >= wanted) };
}

function atMost(what: string, { value, wanted }: Measured): Target {
  return { what, measured: measured(value, (figure) => figure <= wanted) };
}

function measured(value: number | undefined, isEnough: (figure: number) => boolean): Target["measured"] {
  if (value === undefined || !Number.isFinite(value)) return undefined;
  return { figure: String(value >= 100 ? Math.round(value) : round(value)), isMet: isEnough(value) };
}

function quotient(value: number | undefined, by: number | undefined): number | undefined {
  return value === undefined || by === undefined ? undefined : value / by;
}
