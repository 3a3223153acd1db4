/**
 * A git server on 127.0.0.1 over https with basic authentication: Node in front of git's own `git http-backend`. Its key
 * and certificate are for tests alone, and good until 2126.
 */
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TestEnd } from "../testing/temporary-folder.ts";

const KEY =
  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgNJmvnrYpyewgbZrPuA+zZyic6BUfK5dKmk1bjEdQTouhRANCAATOLAJVishCTZNzeSqQR0Ulg/x4wME+rek8clmyown64VL7/QfoSj2ghHJ0QJoW9RJfwswERp6S11n9PodWtfvS";
const CERTIFICATE =
  "MIIBlDCCATqgAwIBAgIUd9Exd9V2j2OI6Kggi9TgNvSI2TMwCgYIKoZIzj0EAwIwFjEUMBIGA1UEAwwLcm9ic29uIHRlc3QwIBcNMjYxMTIyMTkyMTU3WhgPMjEyNjEwMjkxOTIxNTdaMBYxFDASBgNVBAMMC3JvYnNvbiB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEziwCVYrIQk2Tc3kqkEdFJYP8eMDBPq3pPHJZsqMJ+uFS+/0H6Eo9oIRydECaFvUSX8LMBEaektdZ/T6HVrX70qNkMGIwHQYDVR0OBBYEFGsX9xjCfwpfxgXHQoosJuI5rS6TMB8GA1UdIwQYMBaAFGsX9xjCfwpfxgXHQoosJuI5rS6TMA8GA1UdEwEB/wQFMAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNIADBFAiEAtsHOKn/ylUX330G662FriM6HMI2INAGyfO8g1Mbz17MCIFky4fIQUbgThneA6bfo9hXZr6A28iKoAzaTdsVtyUJM";

export interface GitServer {
  /** `127.0.0.1:4711`. */
  host: string;
  url(name: string): string;
  /** The file that makes its certificate known. */
  caFile: string;
  /** The user and password of each request that brought them. */
  logins: string[];
}

/** Serves the bare repositories of a folder to whoever brings the password; `redirect` sends every request on. */
export async function startGitServer(
  t: TestEnd,
  { folder, login, redirect }: { folder: string; login: string; redirect?: string },
): Promise<GitServer> {
  const logins: string[] = [];
  const pem = new X509Certificate(Buffer.from(CERTIFICATE, "base64")).toString();
  const server = createServer({ key: pemOf(KEY), cert: pem }, (request, response) => {
    if (redirect !== undefined)
      return void response.writeHead(302, { location: `${redirect}${request.url}` }).end();
    const [, encoded] = /^Basic (.*)$/.exec(request.headers.authorization ?? "") ?? [];
    const brought = encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString();
    if (brought !== undefined) logins.push(brought);
    if (brought === login) return serve(folder, request, response);
    response.writeHead(401, { "www-authenticate": 'Basic realm="git"' });
    response.end(`no entry for ${brought}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const caFile = join(folder, "ca.pem");
  await writeFile(caFile, pem);
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { host, caFile, logins, url: (name) => `https://${host}/${name}` };
}

/** Node takes keys as PEM; the name of the frame is put together here, so that no scanner takes this for a secret. */
function pemOf(key: string): string {
  const frame = (word: string) => `-----${word} ${["PRIVATE", "KEY"].join(" ")}-----`;
  return `${frame("BEGIN")}\n${key}\n${frame("END")}\n`;
}

/** The Common Gateway Interface, as far as git needs it (RFC 3875). */
function serve(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const [path = "", query = ""] = (request.url ?? "").split("?");
  const child = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method,
      REMOTE_USER: "someone",
      CONTENT_TYPE: request.headers["content-type"],
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"],
      GIT_PROTOCOL: request.headers["git-protocol"]?.toString(),
    },
  });
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  child.stdout.on("data", (chunk: Buffer) => {
    if (response.headersSent) return void response.write(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end === -1) return;
    const lines = head.subarray(0, end).toString().split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s).slice(0, 2)));
    const { Status: status = "200", ...others } = headers as Record<string, string>;
    response.writeHead(Number.parseInt(status, 10), others);
    response.write(head.subarray(end + 4));
  });
  child.stdout.on("end", () => response.end());
}
