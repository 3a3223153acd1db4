import { expect, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { silentLogger } from "../core/logger.ts";
import { openStore } from "../store/open-store.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { startAgent } from "./start-agent.ts";

test("an agent that is sent too many messages still hears /stop and /status", async (t) => {
  const cwd = await temporaryFolder(t);
  const config = loadConfig({ cwd, env: {} });
  Object.assign(config.server, { port: 0, maxRequestsPerMinute: 1 });
  const store = await openStore(`${cwd}/robson.db`);
  t.onTestFinished(() => store.close());
  const agent = await startAgent({ config, store, log: silentLogger });
  t.onTestFinished(() => agent.stop());
  const say = async (content: string) => {
    const body = JSON.stringify({ content });
    const headers = { "content-type": "application/json" };
    return (await fetch(`${agent.url}/message`, { method: "POST", headers, body })).status;
  };

  expect([await say("/echo one"), await say("/echo two"), await say("/status")]).toEqual([202, 429, 202]);
});
