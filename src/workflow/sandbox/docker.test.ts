import { expect, test } from "vitest";
import { DEFAULT_SANDBOX_LIMITS } from "../limits.ts";
import { type DockerRequest, dockerArguments, dockerSandbox } from "./docker.ts";

const request: DockerRequest = {
  program: {
    command: "agent",
    args: ["--print", "$(id)"],
    directory: "/work/a,b/checkout",
    environment: { HOME: "/work/home", API_KEY: "a key", LD_PRELOAD: "/x.so" },
  },
  openings: [
    { path: "/work/a,b/checkout", isWritable: true },
    { path: "/opt/agent", isWritable: false },
  ],
  relays: [],
  name: "robson-sandbox-1-2-x",
  user: "1000:1000",
  image: "shop",
  limits: { ...DEFAULT_SANDBOX_LIMITS, maxProcesses: 7, maxMemoryMib: 8, maxFileMib: 9, maxTemporaryMib: 10 },
};

test("a container has no rights, no network, limits, and the folders of its rules", () => {
  const line = dockerArguments(request).join(" ");

  for (const part of [
    "run --rm --interactive --init --pull never --name robson-sandbox-1-2-x --label robson.sandbox=robson-sandbox-1-2-x",
    "--network none --read-only --tmpfs /tmp:rw,nosuid,nodev,mode=1777,size=10485760,exec",
    "--cap-drop ALL --security-opt no-new-privileges --user 1000:1000",
    "--pids-limit 7 --memory 8m --memory-swap 8m --shm-size 10m --ulimit fsize=9437184 --ulimit core=0",
    '--mount type=bind,"source=/work/a,b/checkout","target=/work/a,b/checkout"',
    "--mount type=bind,source=/opt/agent,target=/opt/agent,readonly",
    "--workdir /work/a,b/checkout --entrypoint  -- shop agent --print $(id)",
  ]) {
    expect(line).toContain(part);
  }
});

test("values of the environment do not stand on the command line, but for those that would reach the client", () => {
  const args = dockerArguments(request);

  expect(args.join(" ")).toContain("--env HOME --env API_KEY --env LD_PRELOAD=/x.so");
  expect(args.join(" ")).not.toContain("a key");
});

test("with allowed domains, the folder of the sockets is shown, and relays start before the program", () => {
  const relays = [{ port: 3128, socketFile: "/tmp/x/sockets/proxy" }];
  const args = dockerArguments({ ...request, sockets: "/tmp/x/sockets", relays });

  expect(args.join(" ")).toContain("--mount type=bind,source=/tmp/x/sockets,target=/tmp/x/sockets,readonly");
  expect(args.slice(args.indexOf("shop") + 4)).toEqual([
    "robson-relays",
    "3128",
    "/tmp/x/sockets/proxy",
    "--",
    "agent",
    "--print",
    "$(id)",
  ]);
});

test("without an engine or its image the sandbox is unavailable, and the error says what to write instead", async () => {
  const image = "robson-test-image-that-nobody-has";
  const sandbox = dockerSandbox({ image, limits: DEFAULT_SANDBOX_LIMITS, protectedPaths: [] });

  await expect(sandbox.check({ signal: AbortSignal.timeout(60_000) })).rejects.toMatchObject({
    code: "SANDBOX_UNAVAILABLE",
    retry: "never",
    hint: expect.stringMatching(/sandbox = "bubblewrap".*"none" to accept/),
  });
});
