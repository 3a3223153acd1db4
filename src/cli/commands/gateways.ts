/** `robson gateways status`: how each gateway is, by the running agent, and what is open and dead by the records. */
import { errorText } from "../../plugins/operator/words.ts";
import type { CommandContext } from "../program.ts";
import { agentStatus } from "../surroundings.ts";
import { withStore } from "../with-store.ts";

export async function gatewaysStatus({ io, config, isJson }: CommandContext): Promise<undefined> {
  await withStore(config, async (store) => {
    const counts = await store.operator.gateways();
    const owner = await store.currentOwner();
    const status = owner === undefined ? undefined : await agentStatus(config, owner);
    const rows = counts.map((row) => {
      const running = status?.gateways.find(({ name }) => name === row.gateway);
      const state = owner === undefined || status ? (running?.state ?? "not running") : "unknown";
      return { ...row, state, lastError: running?.last_error ?? null };
    });
    const width = Math.max(0, ...rows.map(({ gateway }) => gateway.length));
    for (const row of rows) {
      const { gateway, state, openMessages, openDeliveries, deadMessages, deadDeliveries, lastError } = row;
      const open = `open: ${openMessages} messages, ${openDeliveries} deliveries`;
      const dead = `dead: ${deadMessages} messages, ${deadDeliveries} deliveries`;
      const error = lastError === null ? "" : `  (${errorText(lastError)})`;
      io.out(
        isJson
          ? JSON.stringify(row)
          : `${gateway.padEnd(width)}  ${state.padEnd(11)}  ${open}; ${dead}${error}`,
      );
    }
    if (isJson) return;
    if (rows.length === 0) io.err("No gateway was ever registered in this database");
    if (owner === undefined) io.err("No process runs the loop on this database");
    else if (!status) io.err(`${owner} runs the loop, but does not answer at the configured address`);
  });
}
