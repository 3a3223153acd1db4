import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { freePort } from "./free-port.ts";

/** Where Linux begins to give to those who ask for any port; other systems begin further up. */
const FIRST_GIVEN = 32_768;

test("a free port is none that whoever asks for any is given, and can be listened on again and again", async (t) => {
  const port = await freePort();

  expect(port).toBeLessThan(FIRST_GIVEN);
  for (let times = 0; times < 2; times += 1) {
    const server = createServer().listen(port, "127.0.0.1");
    t.onTestFinished(() => void server.close());
    await once(server, "listening");
    server.close();
    await once(server, "close");
  }
});
