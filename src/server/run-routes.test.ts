/** Runs over HTTP, on a real store: what is answered is what the description says. */
import { describe, expect, test } from "vitest";
import type * as z from "zod";
import { aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { startServer } from "./index.ts";
import { runRoutes } from "./run-routes.ts";
import { runDetailsSchema, runSchema } from "./run-schemas.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

describe.each(databaseKinds)("on $name", ({ create }) => {
  async function start(t: TestEnd) {
    const worker = aWorker(
      async (_message, _args, { step, ask, emit }) => {
        await step("clone", async () => ({ size: 3 }));
        const answer = await ask("sure", { text: "Sure?", choices: ["yes", "no"] });
        if (answer?.value === "no") return emit("failed", "Not sure");
        await emit("completed", `It is ${answer?.value}`);
      },
      { name: "long", command: "/long", run: { title: () => "A-1" } },
    );
    const gateway = fakeGateway();
    const running = await startTestLoop(t, {
      location: await create(t),
      workers: [worker],
      gateways: [gateway],
    });
    const { store, clock } = running;
    const server = await startServer({
      ...{ port: 0, store, health: () => ({ isReady: true }) },
      routes: [runRoutes({ store, clock })],
    });
    t.onTestFinished(() => server.close());
    const { conversationId: id } = await gateway.say("/long", { threadTs: "T1" });
    await expect.poll(() => store.runs.run(id), PATIENTLY).toMatchObject({ status: "waiting" });
    const ask = async (method: string, path: string, body?: unknown) => {
      const json =
        body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
      const response = await fetch(server.url + path, { method, ...json });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const ends = (status: string) =>
      expect.poll(() => store.runs.run(id), PATIENTLY).toMatchObject({ status });
    return { ask, id, gateway, ends };
  }

  test("runs are listed, and one is told with all that is on record", async (t) => {
    const { ask, id } = await start(t);
    const list = await ask("GET", "/runs");
    expect(list.status).toBe(200);
    const [run] = list.body.runs as z.output<typeof runSchema>[];
    expect(runSchema.parse(run)).toMatchObject({
      run_id: id,
      title: "A-1",
      status: "waiting",
      thread_ts: "T1",
    });
    expect(runDetailsSchema.parse((await ask("GET", `/runs/${id}`)).body)).toMatchObject({
      steps: [{ name: "clone", result: { size: 3 } }],
      decisions: [{ name: "sure", text: "Sure?", choices: ["yes", "no"], answer: null }],
    });
    for (const path of ["/runs/99", "/runs/x", "/runs/1e3"])
      expect(await ask("GET", path)).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
    expect(await ask("GET", "/runs?limit=0")).toMatchObject({ status: 400 });
  });

  test("a question is answered once, with one of its choices", async (t) => {
    const { ask, id, ends } = await start(t);
    const path = `/runs/${id}/answer`;
    expect(await ask("POST", path, { answer: "perhaps" })).toMatchObject({
      status: 409,
      body: { code: "RUN_INVALID", hint: "Write one of: yes, no" },
    });
    expect(await ask("POST", path, { text: "yes" })).toMatchObject({
      status: 400,
      body: { code: "MESSAGE_INVALID" },
    });
    expect(await ask("POST", path, { answer: "x".repeat(70_000) })).toMatchObject({ status: 413 });
    expect(await ask("POST", path, { answer: "Yes", user_id: "ann" })).toEqual({
      status: 200,
      body: { run_id: id, question: "sure", answer: "yes" },
    });
    await ends("done");
    expect(await ask("POST", path, { answer: "no" })).toMatchObject({ status: 409 });
    expect(await ask("POST", `/runs/${id}/retry`)).toMatchObject({ status: 409 });
    expect(await ask("GET", "/runs")).toMatchObject({ body: { runs: [] } });
    expect(await ask("GET", "/runs?all=true")).toMatchObject({ body: { runs: [{ status: "done" }] } });
  });

  test("a run is stopped, and goes on when it is retried", async (t) => {
    const { ask, id, gateway, ends } = await start(t);
    expect(await ask("POST", `/runs/${id}/retry`)).toMatchObject({ status: 409 });
    expect(await ask("POST", `/runs/${id}/stop`, { user_id: "ann" })).toEqual({
      status: 202,
      body: { run_id: id },
    });
    await ends("stopped");
    await expect.poll(() => gateway.texts().at(-1), PATIENTLY).toContain("Stopped by ann");
    expect(await ask("POST", `/runs/${id}/stop`)).toMatchObject({
      status: 409,
      body: { code: "RUN_INVALID" },
    });
    expect(await ask("POST", `/runs/${id}/retry`)).toMatchObject({ status: 202 });
    await ends("waiting");
  });
});
