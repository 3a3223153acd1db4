import { expect, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { silentLogger } from "../core/logger.ts";
import { openStore } from "../store/open-store.ts";
import { keptLog } from "../testing/interfered-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { startAgent } from "./start-agent.ts";

test("a part of the log that is not there is told at the start, with those that are", async (t) => {
  const cwd = await temporaryFolder(t);
  const config = loadConfig({ cwd, env: {} });
  Object.assign(config.server, { port: 0 });
  config.log.levels = { core: "warn", webhook: "debug", croe: "debug" };
  const store = await openStore(`${cwd}/robson.db`);
  t.onTestFinished(() => store.close());
  const log = keptLog();
  const agent = await startAgent({ config, store, log });
  t.onTestFinished(() => agent.stop());

  const told = log.lines.filter(({ message }) => message.startsWith("[log.levels]"));
  expect(told).toMatchObject([{ level: "warn", fields: { part: "croe" } }]);
  expect(told[0]?.fields).toMatchObject({ parts: expect.arrayContaining(["core", "webhook"]) });
});

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
