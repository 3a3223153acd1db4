import fc from "fast-check";
import { stringify } from "smol-toml";
import { expect, test } from "vitest";
import { findPosition, type KeyPath } from "./toml-positions.ts";

const TOML = `# a comment with [server] in it
top = 1
"quoted key" = 'a [table] = "x"'

[server]
  host = "a # b"   # port = 5
port=7420
names = [ # [x]
  "a]", 'b',
  { deep = 1, "other" = [2,
    3] },
]
text = """
port = 99
[other] \\""" """

[a.b]
c.d . e = 2020-01-01 10:00:00
[[repos]]
url = 1
[repos.inner]
x = 1
[[repos]]
other = {}
url = '''
it's''''
[[ "repos" . more ]]
y = true
`;

function placeOf(...path: KeyPath) {
  const found = findPosition(TOML, path);
  return found && `${found.line}:${found.column}`;
}

test("a key of the document, of a table and of a dotted table has its own place", () => {
  expect(placeOf("top")).toBe("2:1");
  expect(placeOf("quoted key")).toBe("3:1");
  expect(placeOf("server")).toBe("5:2");
  expect(placeOf("server", "host")).toBe("6:3");
  expect(placeOf("server", "port")).toBe("7:1");
  expect(placeOf("a", "b", "c", "d", "e")).toBe("18:7");
});

test("keys and items within arrays and inline tables have their own places", () => {
  expect(placeOf("server", "names", 1)).toBe("9:9");
  expect(placeOf("server", "names", 2, "deep")).toBe("10:5");
  expect(placeOf("server", "names", 2, "other", 1)).toBe("11:5");
});

test("the entries of an array of tables are told apart", () => {
  expect(placeOf("repos", 0, "url")).toBe("20:1");
  expect(placeOf("repos", 0, "inner", "x")).toBe("22:1");
  expect(placeOf("repos", 1, "url")).toBe("25:1");
  expect(placeOf("repos", 1, "more", 0, "y")).toBe("28:1");
});

test("text that only looks like a key, in strings and comments, is none", () => {
  expect(placeOf("other")).toBeUndefined();
  expect(placeOf("port")).toBeUndefined();
});

test("a key that is not there has the place of the nearest table around it", () => {
  expect(placeOf("server", "absent", "deeper")).toBe("5:2");
  expect(placeOf("repos", 1, "absent")).toBe("23:3");
  expect(placeOf()).toBeUndefined();
});

test("columns are right after line ends of Windows and a byte order mark", () => {
  expect(findPosition("\u{FEFF}a = 1\r\n  b = 2\r\n", ["b"])).toEqual({ line: 2, column: 3 });
});

test("the place of any key of any document begins with that key", () => {
  const name = fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/),
    fc.string({ maxLength: 6, unit: "grapheme" }),
  );
  const leaf = fc.oneof(fc.string({ unit: "grapheme" }), fc.integer(), fc.boolean(), fc.array(fc.string()));
  const { document } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      leaf,
      tie("document"),
      fc.array(tie("document"), { minLength: 1, maxLength: 3 }),
    ),
    document: fc.dictionary(name, tie("value"), { maxKeys: 4, noNullPrototype: true }),
  }));
  fc.assert(
    fc.property(document, (value) => {
      const toml = stringify(value);
      const lines = toml.split("\n");
      for (const path of leafPaths(value)) {
        const key = String(path.at(-1));
        const place = findPosition(toml, path);
        const rest = lines[(place?.line ?? 0) - 1]?.slice((place?.column ?? 0) - 1) ?? "";
        expect([key, JSON.stringify(key)].some((text) => rest.startsWith(text)) || rest.startsWith('"')).toBe(
          true,
        );
        expect(rest).toContain("=");
      }
    }),
  );
});

function leafPaths(value: unknown, path: KeyPath = []): KeyPath[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "object")) {
    return value.flatMap((item, index) => leafPaths(item, [...path, index]));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([name, inner]) => leafPaths(inner, [...path, name]));
  }
  return [path];
}
