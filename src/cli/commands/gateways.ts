/**
 * `robson gateways status`: how each gateway is, by the running agent, and what is open and dead by the records; and
 * the processes that run the loop, with what each of them holds.
 */
import { systemClock } from "../../core/clock.ts";
import type { GatewayCounts, ProcessRecord } from "../../core/operator-records.ts";
import { SHARD_COUNT } from "../../core/shards.ts";
import { at, errorText } from "../../plugins/operator/words.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import type { CommandContext } from "../program.ts";
import type { AgentStatus } from "../status-routes.ts";
import { agentStatus, notAnswering } from "../surroundings.ts";
import { withStore } from "../with-store.ts";

/** A process's part in one gateway. */
interface Share {
  process: string;
  since: number;
  /** Of 64; null where it holds everything. */
  shards: number | null;
  /** As far as it is known. */
  state: string;
}

interface Row extends GatewayCounts {
  state: string;
  lastError: string | null;
  processes: Share[];
}

export async function gatewaysStatus({ io, config, isJson }: CommandContext): Promise<undefined> {
  await withStore(config, async (store) => {
    const counts = await store.operator.gateways();
    const { owners, processes } = await livingProcesses(store);
    const status = await agentStatus(config, owners);
    const rows = counts.map((row): Row => toRow(row, { status, processes }));
    if (isJson) {
      for (const row of rows) io.out(JSON.stringify(row));
      return;
    }
    const width = Math.max(0, ...rows.map(({ gateway }) => gateway.length));
    for (const row of rows) io.out(gatewayLine(row, width));
    const now = systemClock.now();
    for (const each of processes) io.out(processLine(each, { rows, now }));
    if (rows.length === 0) io.err("No gateway was ever registered in this database");
    if (owners.length === 0) io.err("No process runs the loop on this database");
    else if (!status) io.err(notAnswering(owners));
  });
}

/** Those on record that live. */
async function livingProcesses(store: OpenedStore) {
  const owners = await store.currentOwners();
  const known = await store.operator.processes();
  return { owners, processes: known.filter(({ process }) => owners.includes(process)) };
}

interface Known {
  status: AgentStatus | undefined;
  processes: ProcessRecord[];
}

function toRow(counts: GatewayCounts, { status, processes }: Known): Row {
  const answered = status?.gateways.find(({ name }) => name === counts.gateway);
  const shares = processes.flatMap((each) => shareOf(each, { gateway: counts.gateway, status }));
  return {
    ...counts,
    state: stateOf(shares, { status, processes }),
    lastError: answered?.last_error ?? null,
    processes: shares,
  };
}

function shareOf(
  { process, since, gateways }: ProcessRecord,
  { gateway, status }: { gateway: string; status: AgentStatus | undefined },
): Share[] {
  const answered = status?.process === process ? status : undefined;
  const state = answered?.gateways.find(({ name }) => name === gateway)?.state;
  const held = gateways.find((each) => each.gateway === gateway);
  if (held) {
    const { shards, isListening } = held;
    const byLease = isListening === null ? "unknown" : isListening ? "listening" : "standby";
    return [{ process, since, shards, state: state ?? byLease }];
  }
  // One that holds everything: only itself knows which gateways it runs.
  const mayRunIt = gateways.length === 0 && (answered === undefined || state !== undefined);
  return mayRunIt ? [{ process, since, shards: null, state: state ?? "unknown" }] : [];
}

/** Of the gateway as a whole: where several run it, the best of it. */
function stateOf(shares: Share[], { status, processes }: Known): string {
  const states = new Set(shares.map(({ state }) => state));
  if (states.has("listening")) return "listening";
  const own = shares.find(({ process }) => process === status?.process);
  if (own && own.state !== "standby") return own.state;
  if (shares.length > 0) return "unknown";
  return processes.length === 0 || status ? "not running" : "unknown";
}

function gatewayLine(row: Row, width: number): string {
  const { gateway, state, openMessages, openDeliveries, deadMessages, deadDeliveries, lastError } = row;
  const open = `open: ${openMessages} messages, ${openDeliveries} deliveries`;
  const dead = `dead: ${deadMessages} messages, ${deadDeliveries} deliveries`;
  const error = lastError === null ? "" : `  (${errorText(lastError)})`;
  return `${gateway.padEnd(width)}  ${state.padEnd(11)}  ${open}; ${dead}${error}`;
}

function processLine({ process, since }: ProcessRecord, { rows, now }: { rows: Row[]; now: number }): string {
  const shares = rows.flatMap(({ gateway, processes }) =>
    processes
      .filter((share) => share.process === process && share.shards !== null)
      .map(({ shards, state }) => {
        const known = state === "unknown" ? "" : `, ${state}`;
        return `${gateway} (${shards} of ${SHARD_COUNT} shards${known})`;
      }),
  );
  const holds = shares.length === 0 ? "" : `: ${shares.join(", ")}`;
  return `${process} runs the loop since ${at(since, now)}${holds}`;
}
