import { expect, test } from "vitest";
import { parseAllowedHosts } from "../core/allowed-hosts.ts";
import { checkRepositoryHost, checkResolvedHost } from "./repository-host.ts";

const lookupOf =
  (...addresses: string[]) =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));

test.each([
  "https://127.0.0.1:9/a.git",
  "https://2130706433/a.git",
  "https://localhost/a.git",
  "https://git.localhost./a.git",
  "https://[::1]/a.git",
  "https://[::ffff:10.0.0.1]/a.git",
  "https://169.254.169.254/a.git",
  "https://168.63.129.16/a.git",
  "https://192.168.1.1/a.git",
  "ssh://git@127.0.0.1/a.git",
  "ssh://git@2130706433/a.git",
  "ssh://git@0x7f000001:22/a.git",
  "ssh://git@[::1]/a.git",
  "ssh://git@LOCALHOST/a.git",
  "git@127.0.0.1:a.git",
  "git@127.1:a.git",
  "git@localhost:a.git",
])("%s is refused on its face", (url) => {
  expect(() => checkRepositoryHost(url)).toThrow(
    expect.objectContaining({
      code: "REPOSITORY_INVALID",
      hint: expect.stringContaining("workflow.allow_repository_hosts"),
    }),
  );
});

test.each([
  "https://example.org/a.git",
  "git@example.org:a.git",
  "https://93.184.216.34/a",
  "file:///srv/a.git",
])("%s is taken", (url) => {
  expect(() => checkRepositoryHost(url)).not.toThrow();
});

test("a host that the operator has listed is taken, for its port where it has one, and is not looked up", async () => {
  const allowed = parseAllowedHosts(["127.0.0.1:9", "10.0.0.1:22", "git.internal"]);
  const lookup = () => Promise.reject(new Error("looked up"));

  await checkResolvedHost("https://127.0.0.1:9/a.git", { allowed, lookup });
  await checkResolvedHost("git@10.0.0.1:a.git", { allowed, lookup });
  await checkResolvedHost("ssh://git@Git.Internal:2222/a.git", { allowed, lookup });

  expect(() => checkRepositoryHost("https://127.0.0.1/a.git", allowed)).toThrow("loopback");
});

test("a name is refused when any of its addresses is private", async () => {
  const url = "https://example.org/a.git";

  await checkResolvedHost(url, { lookup: lookupOf("93.184.216.34") });
  for (const address of ["10.0.0.1", "::1", "::ffff:127.0.0.1", "168.63.129.16", "fe80::1"]) {
    await expect(
      checkResolvedHost(url, { lookup: lookupOf("93.184.216.34", address) }),
    ).rejects.toMatchObject({
      code: "REPOSITORY_INVALID",
      message: expect.stringContaining("example.org"),
    });
  }
});

test("a name that has no address now may have one later", async () => {
  const lookup = () => Promise.reject(new Error("getaddrinfo ENOTFOUND example.org"));

  await expect(checkResolvedHost("git@example.org:a.git", { lookup })).rejects.toMatchObject({
    code: "GIT_FAILED",
    retry: "later",
    hint: expect.stringContaining("ssh"),
  });
});
