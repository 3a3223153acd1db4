/** A folder as a chat: each file that is dropped into in/ is a message, and its answers become files in out/. */
import { on } from "node:events";
import { existsSync, watch } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  DeliveryError,
  defineGateway,
  definePlugin,
  type Gateway,
  type GatewayContext,
  RobsonError,
} from "robson";
import * as z from "zod";

export function folderChat(folder: string): Gateway {
  const [inbox, outbox] = [join(folder, "in"), join(folder, "out")];
  const answerFile = (delivery: { threadTs?: string; id: string }) =>
    join(outbox, `${delivery.threadTs ?? "message"}.${delivery.id}.md`);

  async function acceptAll({ accept }: GatewayContext) {
    for (const name of (await readdir(inbox)).sort()) {
      const file = join(inbox, name);
      const stats = await stat(file);
      if (!stats.isFile() || stats.size === 0 || name.startsWith(".")) continue; // still being written
      const content = await readFile(file, "utf8");
      // The key: a crash before `rm` makes us read the file again, and the inbox then knows it.
      const message = {
        content,
        channelId: "folder",
        threadTs: name,
        idempotencyKey: `${name} ${stats.mtimeMs}`,
      };
      try {
        await accept(message);
        await rm(file); // our acknowledgement: only once the message is stored
      } catch (error) {
        const isRefused = error instanceof RobsonError && error.code.startsWith("MESSAGE_"); // empty, too large
        if (!isRefused) throw error; // it is read again when the gateway is started again
        await rename(file, join(inbox, `.refused-${name}`));
      }
    }
  }

  return defineGateway({
    name: "folder-chat",
    async start(context) {
      for (const each of [inbox, outbox]) await mkdir(each, { recursive: true });
      try {
        const changes = on(watch(inbox, { signal: context.signal }), "change", { signal: context.signal });
        do await acceptAll(context);
        while (!(await changes.next()).done);
      } catch (error) {
        if (!context.signal.aborted) throw error; // it is started again, after a while
      }
    },
    async send(delivery, { signal }) {
      const file = answerFile(delivery);
      try {
        await writeFile(`${file}.part`, delivery.content, { signal });
        await rename(`${file}.part`, file);
      } catch (cause) {
        const isHopeless = (cause as NodeJS.ErrnoException).code === "ENAMETOOLONG";
        const retry = isHopeless ? "never" : "later";
        throw new DeliveryError(`Cannot write ${file}`, { retry, hint: "Look at the folder", cause });
      }
      return undefined;
    },
    find: async (delivery) => existsSync(answerFile(delivery)),
  });
}

export const plugin = definePlugin({
  name: "folder-chat",
  config: z.strictObject({ folder: z.string() }),
  setup: (host) => host.registerGateway(folderChat(host.config.folder)),
});
