import { describe, expect, test } from "vitest";
import { parseDomains, resolveTarget } from "./domains.ts";

const PUBLIC = "93.184.216.34";
const lookup = async (name: string) => {
  const known: Record<string, string[]> = {
    "example.org": [PUBLIC],
    "api.example.org": [PUBLIC, "2606:2800:220:1::1"],
    "inside.example.org": ["10.1.2.3"],
    "both.example.org": [PUBLIC, "127.0.0.1"],
    "meta.example.org": ["169.254.169.254"],
    "mapped.example.org": ["::ffff:10.0.0.1"],
    "azure.example.org": ["168.63.129.16"],
  };
  return (known[name] ?? []).map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
};

function resolve(host: string, { port = 443, list }: { port?: number; list: string[] }) {
  return resolveTarget({ host, port }, { allowed: parseDomains(list), lookup });
}

describe("a host that is allowed", () => {
  test.each([
    ["example.org", 443, ["example.org"]],
    ["EXAMPLE.org.", 80, ["Example.Org"]],
    ["example.org", 8443, ["example.org:8443"]],
    ["api.example.org", 443, ["*.example.org"]],
    ["inside.example.org", 443, ["inside.example.org", "10.1.2.3"]],
    ["inside.example.org", 8443, ["inside.example.org:8443", "10.1.2.3:8443"]],
    ["127.0.0.1", 11434, ["127.0.0.1:11434"]],
    ["::1", 8080, ["[::1]:8080"]],
    ["0:0:0:0:0:0:0:1", 8080, ["[::1]:8080"]],
  ])("%s on port %d is reached with %j", async (host, port, list) => {
    expect(await resolve(host, { port, list })).toEqual(
      expect.arrayContaining([expect.objectContaining({ address: expect.any(String) })]),
    );
  });
});

describe("a host that is not allowed", () => {
  test.each([
    ["example.org", 443, []],
    ["example.org", 22, ["example.org"]],
    ["example.org", 443, ["example.org:8443"]],
    ["example.org", 443, ["*.example.org"]],
    ["evil-example.org", 443, ["*.example.org", "example.org"]],
    ["example.org.evil.net", 443, ["example.org", "*.example.org"]],
    ["api.example.org\0.evil.net", 443, ["*.example.org"]],
    [PUBLIC, 443, ["example.org"]],
    ["127.0.0.1", 443, ["*.0.0.1.example.org"]],
    ["2130706433", 443, ["example.org"]],
    ["0x7f.0.0.1", 443, ["example.org"]],
    ["127.0.0.1", 80, ["127.0.0.1:11434"]],
  ])("%j on port %d is refused with %j, and the list is named", async (host, port, list) => {
    expect(await resolve(host, { port, list })).toEqual({
      refused: expect.stringContaining("is not in sandbox.allow_domains"),
    });
  });

  test.each(["inside", "both", "meta", "mapped", "azure"])(
    "%s.example.org leads to an address that is not public, and is refused although its name is allowed",
    async (name) => {
      expect(await resolve(`${name}.example.org`, { list: ["*.example.org"] })).toEqual({
        refused: expect.stringMatching(/has the \w+ address .*, which is not in sandbox.allow_domains/),
      });
    },
  );

  test("a name without an address is refused", async () => {
    expect(await resolve("nowhere.example.org", { list: ["*.example.org"] })).toEqual({
      refused: "nowhere.example.org has no address",
    });
  });
});

test.each([
  "",
  "*",
  "*.org",
  "*.*.org",
  "https://example.org",
  "example.org/path",
  "a b",
  "*.10.0.0.1",
  "x:0",
  "x:70000",
  "user@x",
  "1.2.3",
  "0x7f.1",
  "[::1",
  "*.[::1]",
])("the entry %j is a mistake that is named", (entry) => {
  expect(() => parseDomains([entry])).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(`"${entry}"`) }),
  );
});
