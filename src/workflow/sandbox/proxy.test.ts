import { existsSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { DEFAULT_SANDBOX_LIMITS } from "../limits.ts";
import { parseDomains } from "./domains.ts";
import { type ProxyOptions, startProxy } from "./proxy.ts";

let socketFile: string;
beforeEach(async (t) => {
  socketFile = join(await temporaryFolder(t), "proxy");
});

test("CONNECT to an allowed host reaches the address that was checked, and no other lookup is made", async () => {
  const port = await listenTcp((socket) => socket.end("hello"));
  const asked: string[] = [];
  const lookup = async (name: string) => {
    asked.push(name);
    return [{ address: "127.0.0.1", family: 4 }];
  };
  await proxy([`shop.example.org:${port}`, `127.0.0.1:${port}`], { lookup });

  const answer = await send(`CONNECT shop.example.org:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);

  expect(answer).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nhello$/);
  expect(asked).toEqual(["shop.example.org"]);
});

test.each([
  "CONNECT other.example.org:443 HTTP/1.1\r\nHost: shop.example.org\r\n\r\n",
  "CONNECT 127.0.0.1:%PORT% HTTP/1.1\r\nHost: shop.example.org\r\n\r\n",
  "CONNECT shop.example.org:22 HTTP/1.1\r\nHost: x\r\n\r\n",
  "CONNECT [::1]:%PORT% HTTP/1.1\r\nHost: x\r\n\r\n",
  "CONNECT shop.example.org@127.0.0.1:%PORT% HTTP/1.1\r\nHost: x\r\n\r\n",
  "CONNECT shop.example.org HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET http://other.example.org/ HTTP/1.1\r\nHost: shop.example.org\r\n\r\n",
  "GET http://shop.example.org@127.0.0.1:%PORT%/ HTTP/1.1\r\nHost: shop.example.org\r\n\r\n",
  "GET http://2130706433:%PORT%/ HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: shop.example.org\r\n\r\n",
  "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
])("%j is refused, and nobody is connected to", async (request) => {
  let visits = 0;
  const port = await listenTcp((socket) => {
    visits += 1;
    socket.end();
  });
  await proxy(["shop.example.org"], { lookup: async () => [{ address: "127.0.0.1", family: 4 }] });

  const answer = await send(request.replaceAll("%PORT%", String(port)));

  expect(answer).toMatch(/^HTTP\/1\.1 403 [\s\S]*Refused by Robson's sandbox: /);
  expect(visits).toBe(0);
});

test("a plain request is sent on to the host of its address, whatever its Host header says", async () => {
  const server = createHttpServer((asked, answer) => {
    answer.end(`${asked.method} ${asked.url} ${asked.headers.host} ${asked.headers["proxy-authorization"]}`);
  });
  const port = await listen(server);
  await proxy([`127.0.0.1:${port}`]);

  const headers = "Host: other\r\nProxy-Authorization: Basic eA==\r\nConnection: close\r\n";
  const answer = await send(`GET http://127.0.0.1:${port}/a?b HTTP/1.1\r\n${headers}\r\n`);

  expect(answer).toContain(`GET /a?b 127.0.0.1:${port} undefined`);
});

test("a host that does not answer is a bad gateway", async () => {
  const port = await listenTcp(() => undefined);
  for (const server of open.splice(0)) await new Promise((resolve) => server.close(resolve));
  await proxy([`127.0.0.1:${port}`]);

  expect(await send(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(/^HTTP\/1\.1 502 /);
});

test("closing ends the connections that are open, and removes the socket", async () => {
  const port = await listenTcp(() => undefined);
  const { close } = await proxy([`127.0.0.1:${port}`]);
  const socket = connect(socketFile);
  socket.on("error", () => undefined);
  socket.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await new Promise((resolve) => socket.once("data", resolve));
  const ended = new Promise((resolve) => socket.once("close", resolve));

  await close();
  await close();

  await ended;
  expect(existsSync(socketFile)).toBe(false);
});

const open: Server[] = [];

async function proxy(list: string[], options: Pick<ProxyOptions, "lookup"> = {}) {
  const started = await startProxy({
    socketFile,
    allowed: parseDomains(list),
    limits: DEFAULT_SANDBOX_LIMITS,
    ...options,
  });
  onTestFinished(() => started.close());
  return started;
}

/** Everything that comes back until the other side ends it. */
function send(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketFile);
    let answer = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      answer += chunk;
      // A kept connection is not ended by the other side.
      if (answer.startsWith("HTTP/1.1 403")) socket.end();
    });
    socket.once("error", reject).once("close", () => resolve(answer));
    socket.write(text);
  });
}

async function listenTcp(onSocket: (socket: import("node:net").Socket) => void): Promise<number> {
  return listen(createServer(onSocket));
}

async function listen(server: Server): Promise<number> {
  open.push(server);
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
