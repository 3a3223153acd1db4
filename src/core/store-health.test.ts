import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { echoWorker as echo } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";

test("a loop whose database takes no writes is not ready, says why once, and is ready when it does again", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const gateway = fakeGateway();
  const said: string[] = [];
  const say = (_fields: object, message: string) => void said.push(message);
  const log = { debug: say, info: say, warn: say, error: say };
  const { loop, clock, idle } = await startTestLoop(t, {
    location,
    gateways: [gateway],
    workers: [echo],
    log,
  });
  await idle();
  const foreign = new DatabaseSync(location);
  t.onTestFinished(() => foreign.close());
  foreign.exec("begin immediate");

  await expect(gateway.say("/echo refused")).rejects.toMatchObject({ code: "STORE_BUSY" });
  await expect(gateway.say("/echo refused")).rejects.toMatchObject({ code: "STORE_BUSY" });
  expect(loop.health()).toMatchObject({ isReady: false, reason: expect.stringContaining("locked") });
  expect(said.filter((message) => message === "database takes no writes")).toHaveLength(1);

  foreign.exec("rollback");
  await clock.advance(5000); // the fallback poll tries
  await expect.poll(() => loop.health().isReady).toBe(true);
  expect(said).toContain("database takes writes again");
}, 180_000);
