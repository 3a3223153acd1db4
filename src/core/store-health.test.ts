import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog, startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { RobsonError } from "./errors.ts";

test("a loop whose database takes no writes is not ready, says why once, and is ready when it does again", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const gateway = fakeGateway();
  const said: string[] = [];
  const say = (_fields: object, message: string) => void said.push(message);
  const log = { debug: () => undefined, info: say, warn: say, error: say };
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

test("writes that wait for the database are no lines of the log, however many they are and however long it takes", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const gateway = fakeGateway();
  const said: string[] = [];
  const say = (_fields: object, message: string) => void said.push(message);
  const log = { debug: () => undefined, info: () => undefined, warn: say, error: say };
  const goOn = Promise.withResolvers<void>();
  const slow = aWorker(async (_message, _args, { emit }) =>
    goOn.promise.then(() => emit("completed", "done")),
  );
  const { clock, idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [slow], log });
  for (let index = 0; index < 20; index += 1) await gateway.say("go", { threadTs: `T${index}` });
  const foreign = new DatabaseSync(location);
  t.onTestFinished(() => foreign.close());
  foreign.exec("begin immediate");
  goOn.resolve();

  await expect.poll(() => said).toContain("database takes no writes");
  for (let seconds = 0; seconds < 60; seconds += 10) await clock.advance(10_000);
  expect(said).toEqual(["database takes no writes"]);

  foreign.exec("rollback");
  await clock.advance(10_000);
  await idle();
  expect(gateway.sent).toHaveLength(20);
}, 180_000);

test("while the database does not answer, a message is refused before it is written, and taken when it answers again", async (t) => {
  const gateway = fakeGateway();
  let onReach: (error: unknown) => void = () => undefined;
  const written: string[] = [];
  const { idle } = await startInterferedLoop(t, {
    gateways: [gateway],
    workers: [echo],
    interfere: (ownership) => ({
      onReach: (callback) => {
        onReach = callback;
      },
      async accept(message, at) {
        written.push(message.content);
        return ownership.accept(message, at);
      },
    }),
  });
  await idle();

  onReach(new RobsonError("STORE_UNAVAILABLE", "No answer", { hint: "Wait" }));
  await expect(gateway.say("/echo refused")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  onReach(new RobsonError("STORE_BUSY", "A lock", { hint: "Wait" }));
  await expect(gateway.say("/echo refused")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  onReach(undefined);
  onReach(new RobsonError("STORE_BUSY", "A lock", { hint: "Wait" }));
  await gateway.say("/echo taken");

  expect(written).toEqual(["/echo taken"]);
  await expect.poll(() => gateway.texts()).toEqual(["completed: taken"]);
});

test("after another process has taken over, what fails is not said to be the database's trouble", async (t) => {
  const gateway = fakeGateway();
  const log = keptLog();
  let onReach: (error: unknown) => void = () => undefined;
  let isLost = false;
  const { loop, idle } = await startInterferedLoop(t, {
    ...{ gateways: [gateway], workers: [echo], log },
    interfere: (ownership) => ({
      onReach: (callback) => {
        onReach = callback;
      },
      async record(change) {
        if (isLost)
          throw new RobsonError("LEASE_LOST", "Another process has taken it over", { hint: "Look" });
        return ownership.record(change);
      },
    }),
  });
  await idle();
  const ended = expect(loop.run()).rejects.toMatchObject({ code: "LEASE_LOST" });

  isLost = true;
  await gateway.say("/echo lost");
  await expect.poll(() => loop.health().reason).toContain("stop");
  onReach(new RobsonError("STORE_UNAVAILABLE", "The connection was ended", { hint: "Wait" }));
  await ended;

  const said = log.lines.filter(({ level }) => level === "warn" || level === "error");
  expect(said.map(({ message }) => message)).toEqual(["loop cannot go on"]);
});
