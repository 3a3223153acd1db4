/** That the settings which the documents show can be used as they stand: in robson.toml, or as a repository's .robson.toml. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { expect, test } from "vitest";
import { configSchema } from "../src/config/config-schema.ts";
import { parseRepositoryFile } from "../src/workflow/repository-settings.ts";

const root = join(import.meta.dirname, "..");
const shown = globSync(["*.md", "docs/**/*.md"], { cwd: root })
  .sort()
  .flatMap((page) =>
    [...readFileSync(join(root, page), "utf8").matchAll(/^```toml\n([\s\S]*?)^```$/gm)].map(
      ([, toml = ""], index) => ({ place: `${page}, ${index + 1}`, toml }),
    ),
  );

test.each(shown)("the settings in $place are taken", ({ toml }) => {
  const isRepositorys = /^(verify|prompt|protected_paths) = /.test(toml);

  const refused = isRepositorys ? undefined : configSchema.safeParse(parse(toml)).error?.message;

  expect(refused).toBeUndefined();
  if (isRepositorys) expect(() => parseRepositoryFile(toml)).not.toThrow();
});

test("the guides show settings", () => {
  expect(shown.length).toBeGreaterThan(5);
});
