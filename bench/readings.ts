/** What the system says of processes: CPU time, memory, how busy the machine is; and figures made fit to print. */
import { readdirSync, readFileSync } from "node:fs";

export const now = (): number => performance.now();

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

export function round(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

export interface Spread {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** Undefined where nothing was measured. */
export function spread(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const sorted = Float64Array.from(values).sort();
  const at = (percent: number) =>
    round(sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0);
  return { count: sorted.length, p50: at(50), p90: at(90), p99: at(99), max: at(100) };
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

/** Of the threads of one process, to the nanosecond; 0 for one that is gone. */
export function processCpuMs(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const times = threads.map((thread) => {
      const [ranFor = "0"] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      return Number(ranFor) / 1e6;
    });
    return times.reduce((sum, each) => sum + each, 0);
  } catch {
    return 0;
  }
}

interface ProcessStat {
  parent: number;
  cpuMs: number;
  childrenCpuMs: number;
}

const TICK_MS = 10;

function processStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    const [, parent = 0] = fields;
    const ticks = (index: number) => (fields[index] ?? 0) * TICK_MS;
    return { parent, cpuMs: ticks(11) + ticks(12), childrenCpuMs: ticks(13) + ticks(14) };
  } catch {
    return undefined;
  }
}

/** The process and all that it has started and that still run. */
export function processTree(pid: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = Map.groupBy(all.map(Number), (each) => processStat(each)?.parent ?? -1);
  const tree = [pid];
  for (const each of tree) tree.push(...(children.get(each) ?? []));
  return tree;
}

/** CPU of a server and everything it has started, children that have ended included. */
export function serverCpuMs(pid: number | undefined): number {
  if (pid === undefined) return 0;
  let sum = processStat(pid)?.childrenCpuMs ?? 0;
  for (const each of processTree(pid)) sum += processStat(each)?.cpuMs ?? 0;
  return sum;
}

export function residentMb(pid: number): number {
  try {
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return round(Number(kilobytes ?? 0) / 1024, 1);
  } catch {
    return 0;
  }
}

export function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** CPU time spent and available since the machine was started, over all cores. */
function machineTimes(): { allMs: number; busyMs: number } {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n", 1);
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const [, , , idle = 0, waiting = 0] = ticks;
  const all = ticks.reduce((sum, each) => sum + each, 0);
  return { allMs: all * TICK_MS, busyMs: (all - idle - waiting) * TICK_MS };
}

export interface Meter {
  /** CPU of this process, and of the server, since the meter was started. */
  ownMs(): number;
  serverMs(): number;
  /** Percent of the machine that others used: distrust a line where it is high. */
  othersPercent(): number;
}

export function startMeter(serverPid: number | undefined): Meter {
  const [own, server, machine] = [ownCpuMs(), serverCpuMs(serverPid), machineTimes()];
  const ownMs = () => ownCpuMs() - own;
  const serverMs = () => serverCpuMs(serverPid) - server;
  return {
    ownMs,
    serverMs,
    othersPercent() {
      const { allMs, busyMs } = machineTimes();
      const others = busyMs - machine.busyMs - ownMs() - serverMs();
      return round((100 * Math.max(0, others)) / Math.max(1, allMs - machine.allMs), 1);
    },
  };
}
