/**
 * The ways out of one sandbox: its proxy, and a way to each service of this machine that the allow list names with its port
 * (`127.0.0.1:11434`, a local model), which programs reach directly, as they do outside. Each is a socket file; inside, a
 * relay leads to it from a port. Without allowed domains there is nothing: no proxy, no socket, no relay.
 */
import { mkdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { RobsonError } from "../../core/errors.ts";
import type { SandboxLimits } from "../limits.ts";
import type { Lookup } from "../repository-host.ts";
import { parseDomains } from "./domains.ts";
import { PROXY_PORT } from "./launch-script.ts";
import { type ProxyServer, startProxy } from "./proxy.ts";
import { listenOnSocket } from "./socket-server.ts";

export interface Proxies {
  /** The folder of the sockets; absent where there are none. */
  sockets?: string;
  relays: { port: number; socketFile: string }[];
  /** Safe to call twice. */
  close(): Promise<void>;
}

/** Socket files have short names: the kernel holds no longer ones. */
const MAX_SOCKET_PATH = 100;

/** Opens what the list asks for; a mistake in the list is a `CONFIG_INVALID`. */
export async function openProxies(
  allowedDomains: readonly string[],
  { runtime, limits, lookup }: { runtime: string; limits: SandboxLimits; lookup: Lookup | undefined },
): Promise<Proxies> {
  const allowed = parseDomains(allowedDomains);
  if (allowed.length === 0) return { relays: [], close: async () => undefined };

  const sockets = join(runtime, "sockets");
  await mkdir(sockets, { mode: 0o700 });
  const socketFile = (name: string) => checkedSocket(join(sockets, name));
  const open: ProxyServer[] = [];
  const relays = [{ port: PROXY_PORT, socketFile: socketFile("proxy") }];
  const close = async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
  };
  try {
    open.push(await startProxy({ socketFile: socketFile("proxy"), allowed, limits, lookup }));
    const local = allowed.filter(({ name, ports }) => name === "127.0.0.1" && ports.length === 1);
    for (const port of new Set(local.flatMap(({ ports }) => ports))) {
      if (port === PROXY_PORT) continue;
      open.push(await startWay({ port, socketFile: socketFile(`${port}`), limits }));
      relays.push({ port, socketFile: socketFile(`${port}`) });
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { sockets, relays, close };
}

/** Bytes both ways between a socket file and a port of this machine. */
async function startWay({
  port,
  socketFile,
  limits,
}: {
  port: number;
  socketFile: string;
  limits: SandboxLimits;
}): Promise<ProxyServer> {
  const open = new Set<{ destroy(): unknown }>();
  const server = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket);
      socket.setTimeout(limits.idleConnectionMs, () => socket.destroy());
      // An error closes its socket, and that the other one.
      socket.on("error", () => socket.destroy());
      socket.once("close", () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.maxConnections = limits.maxConnections;
  return listenOnSocket(server, { socketFile, open });
}

function checkedSocket(path: string): string {
  if (path.length <= MAX_SOCKET_PATH) return path;
  throw new RobsonError("SANDBOX_UNAVAILABLE", `Cannot make a socket at ${path}: its path is too long`, {
    hint: "Set TMPDIR to a folder with a short path, as /tmp",
  });
}
