/** A Redis of the bench's own, where a `redis-server` is installed: its log on the disk, synced every second. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { Missing } from "../engine.ts";
import { sleep } from "../readings.ts";
import { freePort } from "./postgres.ts";

export interface RedisServer {
  port: number;
  pid: number;
  stop(): Promise<void>;
}

/** Rejects with `Missing` where there is none. `REDIS_SERVER` names another program than `redis-server`. */
export async function startRedis(folder: string): Promise<RedisServer> {
  const program = process.env.REDIS_SERVER ?? "redis-server";
  const port = await freePort();
  const flags = ["--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"];
  const child = spawn(program, ["--port", String(port), ...flags, "--appendfsync", "everysec"], {
    stdio: "ignore",
  });
  const failed = new Promise<never>((_resolve, reject) => {
    child.on("error", () => reject(new Missing(`${program} is not installed`)));
    child.on("exit", (code) => reject(new Missing(`${program} ended with code ${code}`)));
  });
  await Promise.race([untilReachable(port), failed]);
  failed.catch(() => undefined);
  const stop = async () => {
    child.kill("SIGTERM");
    if (child.exitCode === null) await once(child, "exit");
  };
  return { port, pid: child.pid ?? 0, stop };
}

async function untilReachable(port: number): Promise<void> {
  for (let tries = 0; tries < 250; tries += 1) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "close").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isOpen) return;
    await sleep(20);
  }
  throw new Missing("redis-server does not answer");
}
