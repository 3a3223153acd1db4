/** The results as tables in Markdown: each engine's medians with its ratio to Robson, and the measurements apart. */
import { serverOf } from "./plan.ts";
import { round } from "./readings.ts";
import type { Of, Results } from "./results.ts";

type Cell = string | number | undefined;

export function enginesTable(results: Results): string {
  const heads = [
    ...["engine", "preload/s", "Robson is", "stream/s", "Robson is", "p50 / p99 / max ms at 50/s"],
    ...[
      "acknowledged p50 ms",
      "CPU µs own + server (stream)",
      "idle CPU % own + server",
      "lag p99 / max ms (stream)",
      "others % (stream)",
    ],
  ];
  const rows = results.engines().map(({ engine, variant }) => {
    const of = (scenario: string) => ({ engine, variant, scenario });
    const figure = (scenario: string, name: string) => results.median(of(scenario), name);
    const joined = (scenario: string, names: string[], by: string) => {
      const values = names.map((name) => figure(scenario, name));
      return values.every((value) => value === undefined) ? undefined : values.map(text).join(by);
    };
    const faster = (scenario: string) =>
      ratio(robsonBeside(results, of(scenario)), figure(scenario, "perSecond"));
    return [
      variant === "default" && !isTuned(engine) ? engine : `${engine} (${variant})`,
      withRange(results, of("preload")),
      faster("preload"),
      withRange(results, of("stream")),
      faster("stream"),
      joined("latency", ["endToEndMs.p50", "endToEndMs.p99", "endToEndMs.max"], " / "),
      figure("latency", "acknowledgedMs.p50"),
      joined("stream", ["cpuUsPerMessage", "serverCpuUsPerMessage"], " + "),
      joined("idle", ["idleCpuPercent", "serverIdleCpuPercent"], " + "),
      joined("stream", ["lagMs.p99", "lagMs.max"], " / "),
      figure("stream", "othersPercent"),
    ];
  });
  return markdown(heads, rows);
}

/** Robson is compared with what stores where it does; BullMQ, which has no such pair, with Robson on SQLite. */
function robsonBeside(
  results: Results,
  { engine, variant, scenario }: { engine: string; variant: string; scenario: string },
): number | undefined {
  const robson = serverOf({ engine, variant }) === "postgres" ? "robson-postgres" : "robson-sqlite";
  return results.median({ engine: robson, scenario }, "perSecond");
}

export function apartTable(results: Results): string {
  const rows: Cell[][] = [];
  const add = (what: string, cells: Cell[]) => {
    if (cells.some((cell) => cell !== undefined)) rows.push([what, cells[0], cells[1]]);
  };
  for (const engine of ["robson-sqlite", "robson-postgres"]) {
    const median = (scenario: string, name: string) => results.median({ engine, scenario }, name);
    for (const scenario of ["without history", "with history"]) {
      const cpu = [median(scenario, "cpuUsPerMessage"), median(scenario, "serverCpuUsPerMessage")];
      const figures = cpu[0] === undefined ? undefined : `${cpu.map(text).join(" + ")} µs CPU a message`;
      add(`${engine}, ${scenario}`, [withRange(results, { engine, scenario }), figures]);
    }
    const start = median("agent", "readyMs");
    const first = median("agent", "firstReadyMs");
    add(`robson agent, ${engine}`, [
      start === undefined ? undefined : `ready in ${text(start)} ms (first start ${text(first)} ms)`,
      start === undefined
        ? undefined
        : `idle: ${text(median("agent", "residentMb"))} MB, ${text(median("agent", "idleCpuPercent"))} % CPU`,
    ]);
  }
  const counts = new Set(
    results.where({ engine: "robson-postgres", scenario: "processes" }).map((line) => line.processes),
  );
  for (const processes of counts)
    add(`${processes} process(es) on one PostgreSQL`, [
      withRange(results, { engine: "robson-postgres", scenario: "processes", processes }),
    ]);
  const blocked = results.lines.filter(({ scenario = "" }) => scenario.startsWith("storage blocks"));
  for (const scenario of new Set(blocked.map((line) => String(line.scenario)))) {
    const of = { engine: "robson-sqlite", scenario };
    const largest = (name: string) => text(results.largest(of, name));
    add(`robson-sqlite, ${scenario}`, [
      `SQLite blocks p99 ${largest("storageBlockMs.p99")}, max ${largest("storageBlockMs.max")} ms`,
      `lag p99 ${largest("lagMs.p99")}, max ${largest("lagMs.max")} ms; p99 to delivered ${largest("endToEndMs.p99")} ms`,
    ]);
  }
  return markdown(["measured apart", "", ""], rows);
}

export function markdown(heads: string[], rows: Cell[][]): string {
  const line = (cells: Cell[]) => `| ${cells.map(text).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

export function text(cell: Cell): string {
  if (cell === undefined) return "–";
  if (typeof cell === "string") return cell;
  return String(Math.abs(cell) >= 100 ? Math.round(cell) : round(cell));
}

function ratio(robson: number | undefined, other: number | undefined): string | undefined {
  if (robson === undefined || other === undefined || other === 0) return undefined;
  return `${round(robson / other)}×`;
}

function withRange(results: Results, of: Of): string | undefined {
  const rates = results.all(of, "perSecond");
  const middle = results.median(of, "perSecond");
  if (middle === undefined) return undefined;
  if (rates.length < 2) return text(middle);
  return `${text(middle)} (${text(Math.min(...rates))}–${text(Math.max(...rates))})`;
}

function isTuned(engine: string): boolean {
  return ["plainjob", "graphile-worker", "pg-boss"].includes(engine);
}
