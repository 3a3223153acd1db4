/** The gateway of the command line against the checks that every gateway must pass. */
import { expect, test } from "vitest";
import { silentLogger } from "../../core/logger.ts";
import { type TestPlatform, testGateway } from "../../testing/test-gateway.ts";
import { type CliGateway, cliGateway } from "./index.ts";

interface CommandLine extends TestPlatform {
  gateway?: CliGateway;
}

testGateway<CommandLine>(test, {
  async createPlatform() {
    const commandLine: CommandLine = {
      async write({ content }) {
        await commandLine.gateway?.say({ content, channelId: "cli" });
      },
      close: async () => undefined,
    };
    return commandLine;
  },
  createGateway(commandLine) {
    commandLine.gateway = cliGateway();
    return commandLine.gateway;
  },
  // Read by pull, and each command is a message of its own.
  without: ["sending", "message ids"],
});

test("a message that is said before the start is handed over after it", async () => {
  const gateway = cliGateway();
  const stop = new AbortController();

  const said = gateway.say({ content: "hello", channelId: "cli" });
  const ended = gateway.start({
    accept: async () => ({ conversationId: 7, isDuplicate: false }),
    signal: stop.signal,
    log: silentLogger,
  });

  expect(await said).toEqual({ conversationId: 7, isDuplicate: false });
  await gateway.started;
  stop.abort();
  await ended;
});

test("its messages have no deliveries", () => {
  expect(cliGateway().targets?.({} as never)).toEqual([]);
});
