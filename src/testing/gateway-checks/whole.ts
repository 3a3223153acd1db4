/** The checks of a gateway as a whole: its shape, its way through a loop, and what it leaves behind. */
import assert from "node:assert/strict";
import { defineGateway } from "../../core/gateway.ts";
import { echoWorker } from "../builders.ts";
import { startTestLoop } from "../start-test-loop.ts";
import type { TestPlatform } from "../test-gateway.ts";
import { type CheckOf, check, type GatewayKit, turns } from "./bench.ts";

export function wholeChecks<Platform extends TestPlatform>(kit: GatewayKit<Platform>): CheckOf[] {
  return [
    check(kit, {
      name: "it has a valid name, start and send",
      needs: [],
      async on({ gateway }) {
        defineGateway(gateway);
      },
    }),
    check(kit, {
      name: "a message goes through a loop, and its answer arrives where it was written",
      needs: ["listening", "sending"],
      async on(bench) {
        const { idle, stop } = await startTestLoop(bench, {
          gateways: [bench.gateway],
          workers: [echoWorker],
        });

        await bench.write({ id: "m1", content: "/echo there and back" });
        await bench.within("end a send", idle());

        await bench.until("deliver an answer", async () => (await bench.arrived()).length > 0);
        assert.deepEqual(
          (await bench.arrived()).map(({ content }) => content),
          ["there and back"],
        );
        await stop();
      },
    }),
    leavesNothing(kit),
  ];
}

const HANDLES = /^(TCPSocketWrap|TCPServerWrap|UDPWrap|FSEventWrap|StatWatcher|ProcessWrap|ChildProcess)$/;

/** Not on one bench alone: it counts what is open before and after. */
function leavesNothing<Platform extends TestPlatform>(kit: GatewayKit<Platform>): CheckOf {
  const open = () => process.getActiveResourcesInfo().filter((name) => HANDLES.test(name));
  const name = "once it has ended it leaves no socket, watcher or process open";
  const run = async () => {
    const before = open().length;
    let until: ((isTrue: () => boolean) => Promise<void>) | undefined;
    await check(kit, {
      name,
      needs: [],
      async on(bench) {
        until = (isTrue) => bench.until(`close what it had opened (${open().join(", ")})`, isTrue);
        const { stop } = bench.listen(async () => ({ conversationId: 1, isDuplicate: false }));
        await turns();
        if (bench.platform.write) await bench.write({ id: "m1", content: "hello" });
        if (bench.platform.target !== undefined) await bench.send();
        await stop();
      },
    }).run();
    await until?.(() => open().length <= before);
  };
  return { name, needs: [], run };
}
