/** Code of a plugin that ends the process: it is told why, and the next start answers what was interrupted. */
import { expect, test } from "vitest";
import { databaseKinds } from "../../src/testing/databases.ts";
import { PATIENTLY, startFaultAgent, TIMEOUT } from "./fault-agent.ts";

/** Each ends the process in its first attempt alone. */
const PLUGIN = `
  const isFirst = (name) => {
    const isNew = !existsSync(folder + "/" + name);
    writeFileSync(folder + "/" + name, "");
    return isNew;
  };
  worker("exit", async (_message, _args, { emit }) => {
    if (isFirst("exit")) {
      await sleep(100);
      process.exit(0);
    }
    await emit("completed", "survived");
  });
  worker("reject", async (_message, _args, { emit }) => {
    if (isFirst("reject")) {
      setTimeout(() => Promise.reject(new Error("nobody awaits me")), 100);
      await sleep(5000);
    }
    await emit("completed", "survived");
  });
  worker("timer", async (_message, _args, { emit }) => {
    if (isFirst("timer")) {
      setTimeout(() => { throw new Error("thrown in a timer"); }, 100);
      await sleep(5000);
    }
    await emit("completed", "survived");
  });
  worker("slow", async (_message, _args, { emit, text }) => { await sleep(300); await emit("completed", text); });
`;

const ENDINGS = [
  { content: "/exit", why: /a plugin or a worker has called process\.exit/ },
  { content: "/reject", why: /nobody awaits me/ },
  { content: "/timer", why: /thrown in a timer/ },
];

for (const { name, create } of databaseKinds)
  test(`on ${name}, a worker that ends the process is told of, and all it interrupted is answered once by the next start`, {
    ...TIMEOUT,
  }, async (t) => {
    let agent = await startFaultAgent(t, { location: await create(t), plugin: PLUGIN });

    for (const { content, why } of ENDINGS) {
      const slow = Array.from({ length: 10 }, (_, index) => `/slow ${content} ${index}`);
      await Promise.all(slow.map((each) => agent.say(each)));
      const id = await agent.say(content);
      expect(await agent.exited).toBe(1);
      expect(agent.log.join("\n")).toMatch(why);
      expect(agent.logged("the process ends")).toMatchObject([{ level: "error" }]);

      agent = await agent.restart();
      await agent.expectAnswers([content, ...slow]);
      expect(agent.answersIn(content)).toMatchObject([{ kind: "completed", content: "survived" }]);
      const { logged } = agent;
      const interrupted = () => logged("message attempt was interrupted").length;
      await expect.poll(interrupted, PATIENTLY).toBeGreaterThan(0);
      if (content === "/exit")
        expect(await agent.why(id)).toContain("was interrupted: the process ended during it");
    }
    expect(await agent.stop()).toBe(0);
  });
