/** A process whose worker ends it at the word "poison": started again and again by poison.test.ts. */

import { SensoriumLoop } from "../../src/core/sensorium-loop.ts";
import { openStore } from "../../src/store/open-store.ts";
import { aWorker } from "../../src/testing/builders.ts";
import { fakeGateway } from "../../src/testing/fake-gateway.ts";

const store = await openStore(process.argv[2] ?? "");
const loop = new SensoriumLoop({ store, limits: { backoffBaseMs: 1, maxInterruptions: 5 } });
loop.registerGateway(fakeGateway());
loop.registerWorker(
  aWorker(async ({ content }, _args, { emit }) => {
    if (content === "poison") process.kill(process.pid, "SIGKILL");
    await emit("completed", content);
  }),
);
await loop.start();
// Idle is not enough: what was interrupted waits before it is begun again.
while (loop.health().openMessages > 0) await new Promise((resolve) => setTimeout(resolve, 5));
await loop.idle();
await loop.stop();
await store.close();
