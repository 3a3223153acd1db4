/** No file descriptor is left: new connections are refused, those that there are go on, and nothing is lost. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Pool } from "undici";
import { expect, test } from "vitest";
import { databaseKinds } from "../../src/testing/databases.ts";
import { PATIENTLY, startFaultAgent, TIMEOUT } from "./fault-agent.ts";

const MAX_DESCRIPTORS = 80;
const CONNECTIONS = 200;
const WORKED_ON = 20;

/** Its answer is ready only once it is told to go on, and needs a connection that is not there. */
const PLUGIN = `
  worker("slow", async (_message, _args, { emit, text }) => {
    while (!existsSync(folder + "/go-on")) await sleep(10);
    await emit("completed", text);
  });`;

for (const { name, create } of databaseKinds)
  test(
    `on ${name}, an agent without a free file descriptor keeps the connections it has, refuses others, and recovers`,
    TIMEOUT,
    async (t) => {
      const within = ["sh", "-c", `ulimit -n ${MAX_DESCRIPTORS}; exec "$@"`, "sh"];
      const agent = await startFaultAgent(t, { location: await create(t), plugin: PLUGIN, within });
      const slow = Array.from({ length: WORKED_ON }, (_, index) => `/slow ${index}`);
      await Promise.all(slow.map((content) => agent.say(content)));
      const kept = new Pool(`http://127.0.0.1:${agent.port}`, { connections: 1, pipelining: 1 });
      t.onTestFinished(() => kept.destroy());
      const ask = async (path: string, body?: object) => {
        const post = { method: "POST", headers: { "content-type": "application/json" } } as const;
        const request = body ? { ...post, body: JSON.stringify(body) } : ({ method: "GET" } as const);
        const response = await kept.request({ path, ...request });
        await response.body.dump();
        return response.statusCode;
      };
      expect(await ask("/readyz")).toBe(200);

      const hoard = Array.from({ length: CONNECTIONS }, () => hold(agent.port));
      t.onTestFinished(async () => hoard.forEach(({ socket }) => void socket.destroy()));
      await Promise.all(hoard.map(({ connected }) => connected));
      // A kept connection on which nothing is asked for some seconds is closed, and there is no other.
      const refused = async () => {
        expect(await ask("/healthz")).toBe(200);
        return hoard.filter(({ socket }) => socket.destroyed).length;
      };
      await expect.poll(refused, PATIENTLY).toBeGreaterThan(CONNECTIONS - MAX_DESCRIPTORS);
      // The ones that it had are served as before, new messages too.
      const echoes = Array.from({ length: 20 }, (_, index) => `/echo ${index}`);
      for (const content of echoes) {
        const message = { content, thread_ts: content, channel_id: agent.receiver.url };
        expect(await ask("/message", message)).toBe(202);
      }
      await agent.touch("go-on");
      const failed = async () => {
        expect(await ask("/healthz")).toBe(200);
        return agent.logged("delivery attempt failed").length;
      };
      await expect.poll(failed, PATIENTLY).toBeGreaterThan(0);
      expect(agent.logged("delivery attempt failed")[0]).toMatchObject({
        error: expect.stringContaining("EMFILE"),
      });
      expect(await ask("/healthz")).toBe(200);

      for (const { socket } of hoard) socket.destroy();
      await agent.expectAnswers([...slow, ...echoes]);
      await agent.say("/echo afterwards");
      await agent.expectAnswers(["/echo afterwards"]);
      expect((await agent.get("/readyz")).status).toBe(200);
      expect(agent.receiver.received).toHaveLength(WORKED_ON + echoes.length + 1);
      expect(await agent.stop()).toBe(0);
    },
  );

/** A connection that asks for nothing. */
function hold(port: number): { socket: Socket; connected: Promise<unknown> } {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.destroy());
  return { socket, connected: once(socket, "connect").catch(() => undefined) };
}
