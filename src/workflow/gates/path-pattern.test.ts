import * as fc from "fast-check";
import { expect, test } from "vitest";
import { matchesPath } from "./path-pattern.ts";

test.each([
  ["CODEOWNERS", "CODEOWNERS", true],
  ["CODEOWNERS", "docs/CODEOWNERS", true],
  ["CODEOWNERS", "docs/codeowners", true],
  ["/CODEOWNERS", "docs/CODEOWNERS", false],
  ["CODEOWNERS", "CODEOWNERS.md", false],
  [".github/workflows", ".github/workflows/ci.yml", true],
  [".github/workflows/", ".github/workflows/deep/ci.yml", true],
  [".github/workflows", "sub/.github/workflows/ci.yml", false],
  ["infra/**", "infra/.hidden/x", true],
  ["infra/*", "infra/.hidden", true],
  ["**/.claude", "a/b/.claude/settings.json", true],
  ["**/.claude", ".claude/settings.json", true],
  ["*.lock", "a/poetry.lock", true],
  ["*.lock", "a/poetry.locks", false],
  ["a?c", "abc", true],
  ["a?c", "ac", false],
  ["a/**/z", "a/z", true],
  ["a/**/z", "a/b/c/z", true],
  ["a/**/z", "b/a/z", false],
  ["a[b]", "a[b]", true],
])("%s on %s: %s", (pattern, path, isMatch) => {
  expect(matchesPath([pattern], path)).toBe(isMatch);
});

test("a pattern with many stars takes no longer than a long path is", () => {
  const stars = `${"*a".repeat(100)}b`;
  expect(matchesPath([stars, `${"**/".repeat(100)}b`], `${"a".repeat(50_000)}/${"a/".repeat(2000)}c`)).toBe(
    false,
  );
});

test("every path is matched by itself, by its folders and by its name", async () => {
  const name = fc.stringMatching(/^[a-zA-Z.][a-zA-Z0-9._-]{0,6}$/).filter((each) => !/^\.+$/.test(each));
  await fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), (names) => {
      const path = names.join("/");
      for (let count = 1; count <= names.length; count += 1) {
        expect(matchesPath([`/${names.slice(0, count).join("/")}`], path)).toBe(true);
      }
      expect(matchesPath([names.at(-1) ?? ""], `some/where/${path}`)).toBe(true);
      expect(matchesPath([`/x${path}`], path)).toBe(false);
    }),
  );
});
